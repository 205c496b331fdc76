//! Welch's t-test for timing leaks.

/// Count, mean and variance of the times of one kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    count: f64,
    mean: f64,
    /// The sum of squared differences from the mean, updated by Welford's method, which loses no precision.
    squares: f64,
}

impl Sample {
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        let from_old_mean = value - self.mean;
        self.mean += from_old_mean / self.count;
        self.squares += from_old_mean * (value - self.mean);
    }

    /// Both samples as one.
    pub(crate) fn with(&self, other: &Self) -> Self {
        let count = self.count + other.count;
        if count == 0.0 {
            return Self::default();
        }
        let apart = other.mean - self.mean;
        let mean = self.mean + apart * other.count / count;
        let squares = self.squares + other.squares + apart * apart * self.count * other.count / count;
        Self { count, mean, squares }
    }

    pub(crate) fn count(&self) -> f64 {
        self.count
    }

    pub(crate) fn mean(&self) -> f64 {
        self.mean
    }

    pub(crate) fn deviation(&self) -> f64 {
        (self.squares / (self.count - 1.0)).sqrt()
    }
}

/// The difference of two means in standard errors. Tests for leaks take a difference above 4.5 for proven
/// (<https://csrc.nist.gov/csrc/media/events/non-invasive-attack-testing-workshop/documents/08_goodwill.pdf>).
pub(crate) fn t(one: &Sample, other: &Sample) -> f64 {
    let error = |sample: &Sample| sample.squares / (sample.count - 1.0) / sample.count;
    (one.mean - other.mean) / (error(one) + error(other)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(values: &[f64]) -> Sample {
        let mut sample = Sample::default();
        values.iter().for_each(|value| sample.add(*value));
        sample
    }

    #[test]
    fn a_published_example_gives_the_published_result() {
        let one = sample(&[27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7, 21.4]);
        let other = sample(&[27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 30.5, 28.8]);
        assert_eq!((one.count() as u32, (one.mean() * 1e4).round() / 1e4), (15, 20.82));
        assert!((one.deviation() - 2.805).abs() < 1e-3, "{}", one.deviation());
        assert!((t(&one, &other) + 2.9).abs() < 0.1, "{}", t(&one, &other));
        assert!((t(&one, &other) + t(&other, &one)).abs() < 1e-12);
        assert_eq!(t(&one, &one), 0.0);
        let halves = sample(&[27.5, 21.0, 19.0]).with(&Sample::default()).with(&sample(&[23.6, 17.0]));
        let whole = sample(&[27.5, 21.0, 19.0, 23.6, 17.0]);
        assert!((halves.mean() - whole.mean()).abs() < 1e-9 && (halves.deviation() - whole.deviation()).abs() < 1e-9);
    }
}
