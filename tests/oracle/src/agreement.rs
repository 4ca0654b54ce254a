//! How near two results must be.

use std::fmt::Write;

/// `|ours - theirs| <= absolute + relative * |theirs|`.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// What is allowed whatever the number.
    pub absolute: f64,
    /// What is allowed beside it, as a share of the number.
    pub relative: f64,
}

impl Tolerance {
    /// What the golden cases ask for.
    pub const GOLDEN: Self = Self { absolute: 1e-5, relative: 1e-4 };

    /// Whether a number is near enough. NaN is near nothing; an infinity is near itself.
    pub fn accepts(self, ours: f64, theirs: f64) -> bool {
        ours == theirs || (ours - theirs).abs() <= self.absolute + self.relative * theirs.abs()
    }

    /// The difference in units of what is allowed; infinite where it is not a number.
    fn excess(self, ours: f64, theirs: f64) -> f64 {
        let excess = (ours - theirs).abs() / (self.absolute + self.relative * theirs.abs());
        if excess.is_nan() { f64::INFINITY } else { excess }
    }
}

/// Collects what disagrees, so that a test tells everything at once.
#[derive(Debug, Default)]
pub struct Report {
    failures: Vec<String>,
    compared: usize,
}

impl Report {
    /// Adds a failure in words.
    pub fn fail(&mut self, message: impl Into<String>) {
        self.failures.push(message.into());
    }

    /// Compares two tensors of one shape, `theirs` being right.
    pub fn compare(&mut self, what: &str, shape: &[usize], ours: &[f32], theirs: &[f64], tolerance: Tolerance) {
        self.compared += theirs.len();
        if ours.len() != theirs.len() {
            self.fail(format!("{what}: {} values where {} belong, {shape:?}", ours.len(), theirs.len()));
            return;
        }
        let pairs = || ours.iter().map(|&ours| f64::from(ours)).zip(theirs.iter().copied());
        let wrong = pairs().filter(|&(ours, theirs)| !tolerance.accepts(ours, theirs)).count();
        if wrong == 0 {
            return;
        }
        let (at, (ours, theirs)) = pairs()
            .enumerate()
            .filter(|&(_, (ours, theirs))| !tolerance.accepts(ours, theirs))
            .max_by(|(_, a), (_, b)| tolerance.excess(a.0, a.1).total_cmp(&tolerance.excess(b.0, b.1)))
            .expect("one at least is wrong");
        let index = unravel(at, shape);
        let excess = tolerance.excess(ours, theirs);
        self.fail(format!(
            "{what} {shape:?}: {wrong} of {} wrong, worst at {index:?}: {ours:e} instead of {theirs:e}, \
             {excess:.1} times what is allowed",
            pairs().len()
        ));
    }

    /// Whether anything failed so far.
    pub fn failed(&self) -> bool {
        !self.failures.is_empty()
    }

    /// Panics with everything that failed. A report that compared nothing is a failure too.
    pub fn finish(self, title: &str) {
        if self.failures.is_empty() {
            assert!(self.compared > 0, "{title}: nothing was compared");
            return;
        }
        let mut text = format!("{title}: {} of its checks failed", self.failures.len());
        for failure in &self.failures {
            let _ = write!(text, "\n  {failure}");
        }
        panic!("{text}");
    }
}

fn unravel(mut at: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (place, &size) in index.iter_mut().zip(shape).rev() {
        *place = at % size;
        at /= size;
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_agrees_with_nothing() {
        let tolerance = Tolerance::GOLDEN;
        for (ours, theirs) in [(f64::NAN, 0.0), (0.0, f64::NAN), (f64::NAN, f64::NAN), (f64::INFINITY, 1.0)] {
            assert!(!tolerance.accepts(ours, theirs), "{ours} {theirs}");
            let mut report = Report::default();
            report.compare("x", &[1], &[ours as f32], &[theirs], tolerance);
            assert!(report.failed(), "{ours} {theirs}");
        }
        assert!(!tolerance.accepts(1.0, f64::INFINITY) || tolerance.accepts(f64::INFINITY, f64::INFINITY));
    }

    #[test]
    fn the_worst_value_is_named() {
        let mut report = Report::default();
        report.compare(
            "x",
            &[2, 3],
            &[0.0, 1.0, 2.0, 3.0, 4.5, 5.0],
            &[0.0, 1.1, 2.0, 3.0, 4.0, 5.0],
            Tolerance::GOLDEN,
        );
        assert!(report.failures[0].contains("2 of 6 wrong, worst at [1, 1]"), "{}", report.failures[0]);
    }

    #[test]
    #[should_panic = "nothing was compared"]
    fn an_empty_report_fails() {
        Report::default().finish("x");
    }
}
