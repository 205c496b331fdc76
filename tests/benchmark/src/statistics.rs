//! Medians and spread of samples.

use serde::Serialize;

/// A median, and the range that holds eight tenths of the samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) p10: f64,
    pub(crate) p90: f64,
    pub(crate) samples: usize,
}

impl Summary {
    /// None without samples.
    pub(crate) fn of(samples: &[f64]) -> Option<Self> {
        let at = |part| quantile(samples, part);
        Some(Self { median: at(0.5)?, p10: at(0.1)?, p90: at(0.9)?, samples: samples.len() })
    }
}

/// The value below which this part of the samples lies, between two samples if there is none. None without samples.
pub(crate) fn quantile(samples: &[f64], part: f64) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let position = part.clamp(0.0, 1.0) * sorted.len().checked_sub(1)? as f64;
    let below = *sorted.get(position.floor() as usize)?;
    let above = *sorted.get(position.ceil() as usize)?;
    Some(below + (above - below) * position.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_on_samples_or_between_two() {
        let samples = [4.0, 1.0, 3.0, 2.0, 5.0];
        assert_eq!([0.0, 0.5, 1.0].map(|part| quantile(&samples, part)), [Some(1.0), Some(3.0), Some(5.0)]);
        assert_eq!(quantile(&samples, 0.9), Some(4.6));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn a_summary_of_one_sample_has_no_spread() {
        assert_eq!(Summary::of(&[7.0]), Some(Summary { median: 7.0, p10: 7.0, p90: 7.0, samples: 1 }));
        assert_eq!(Summary::of(&[]), None);
    }
}
