//! The progress on the terminal while the stack starts: one line per step, with its time.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The display of steps on standard error: spinners on a terminal, plain lines elsewhere.
#[derive(Clone)]
pub struct Steps {
    bars: MultiProgress,
    shown: Shown,
}

#[derive(Clone, Copy, PartialEq)]
enum Shown {
    AsSpinners,
    AsLines,
    Never,
}

/// How often a step reports its progress when standard error is not a terminal.
const LINE_EVERY: Duration = Duration::from_secs(15);

impl Steps {
    /// Steps on standard error.
    pub fn shown() -> Self {
        let bars = MultiProgress::new();
        let shown = if bars.is_hidden() { Shown::AsLines } else { Shown::AsSpinners };
        Self { bars, shown }
    }

    /// Hidden steps, for tests.
    pub fn hidden() -> Self {
        Self { bars: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()), shown: Shown::Never }
    }

    /// Begins a step, for example `Deploying template.yaml`.
    pub fn begin(&self, name: &str) -> Step {
        let bar = self.bars.add(ProgressBar::new_spinner());
        bar.set_style(
            ProgressStyle::with_template("{spinner:.cyan} {prefix} {elapsed} {wide_msg:.dim}")
                .expect("the template is well formed"),
        );
        bar.set_prefix(name.to_owned());
        if self.shown == Shown::AsSpinners {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        let now = Instant::now();
        let step = Step { steps: self.clone(), bar, name: name.to_owned(), began: now, said: now, succeeded: false };
        if self.shown == Shown::AsLines {
            step.steps.say(&format!("  {name} ..."));
        }
        step
    }

    /// Begins a step that counts up to a total and shows a progress bar.
    pub fn begin_counting(&self, name: &str, total: u64) -> Step {
        let step = self.begin(name);
        step.bar.set_style(
            ProgressStyle::with_template(
                "{spinner:.cyan} {prefix} {elapsed} [{bar:30.cyan}] {pos}/{len} {wide_msg:.dim}",
            )
            .expect("the template is well formed")
            .progress_chars("=> "),
        );
        step.bar.set_length(total);
        step
    }

    /// A line above the steps that are under way.
    pub fn say(&self, line: &str) {
        match self.shown {
            // A write fails if the terminal was closed. That failure does not matter.
            Shown::AsSpinners => drop(self.bars.println(line)),
            Shown::AsLines => drop(std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes())),
            Shown::Never => {}
        }
    }
}

impl Default for Steps {
    fn default() -> Self {
        Self::hidden()
    }
}

/// A step under way. If it is dropped before [`Step::done`], it has failed or was interrupted.
pub struct Step {
    steps: Steps,
    bar: ProgressBar,
    name: String,
    began: Instant,
    said: Instant,
    succeeded: bool,
}

impl Step {
    /// Shows the progress of the step, for example `crate 12 of 340`.
    pub fn note(&mut self, progress: &str) {
        self.bar.set_message(progress.to_owned());
        if self.steps.shown == Shown::AsLines && self.said.elapsed() >= LINE_EVERY {
            self.said = Instant::now();
            self.steps.say(&format!("  {}: {progress}", self.name));
        }
    }

    /// Sets the count of a counting step.
    pub fn reach(&self, count: u64) {
        self.bar.set_position(count);
    }

    /// A line above the steps that are under way.
    pub fn say(&self, line: &str) {
        self.steps.say(line);
    }

    /// Marks the step as successful.
    pub fn done(mut self) {
        self.succeeded = true;
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.steps.bars.remove(&self.bar);
        let mark = if self.succeeded { "✓" } else { "✗" };
        self.steps.say(&format!("{mark} {} {}", self.name, seconds(self.began.elapsed())));
    }
}

/// `0.42 s`, `12 s`, `3 min 05 s`: three digits at most, for people.
pub(crate) fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        0..10 => format!("{:.2} s", duration.as_secs_f64()),
        seconds @ 10..120 => format!("{seconds} s"),
        seconds => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_as_exact_as_people_need() {
        for (milliseconds, shown) in [
            (0, "0.00 s"),
            (423, "0.42 s"),
            (9_994, "9.99 s"),
            (12_900, "12 s"),
            (119_000, "119 s"),
            (185_000, "3 min 05 s"),
        ] {
            assert_eq!(seconds(Duration::from_millis(milliseconds)), shown);
        }
    }
}
