//! Counts the statuses that each operation answered with.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use serde_json::Value;

/// The number of answers by route and status. Clones share their counts.
#[derive(Clone, Default)]
pub(crate) struct Tally(Arc<Mutex<BTreeMap<(String, u16), u64>>>);

impl Tally {
    pub(crate) fn count(&self, route: &str, status: u16) {
        *self.counts().entry((route.to_owned(), status)).or_default() += 1;
    }

    /// Resets all counts.
    pub(crate) fn clear(&self) {
        self.counts().clear();
    }

    /// The counts by operation of an OpenAPI document.
    ///
    /// # Errors
    /// When an operation of the document has no id or no answers.
    pub(crate) fn report(&self, document: &Value) -> anyhow::Result<Report> {
        const METHODS: [&str; 3] = ["get", "head", "post"];
        let counts = self.counts();
        let mut operations = Vec::new();
        for (path, item) in document["paths"].as_object().context("the document has no paths")? {
            for method in METHODS {
                let operation = &item[method];
                if operation.is_null() {
                    continue;
                }
                let id = operation["operationId"].as_str().with_context(|| format!("{method} {path} has no id"))?;
                let documented = operation["responses"].as_object().with_context(|| format!("{id} has no answers"))?;
                let is_its = |route: &str| route.replace("+}", "}") == format!("{} {path}", method.to_uppercase());
                let seen = counts.iter().filter(|((route, _), _)| is_its(route));
                operations.push(Operation {
                    id: id.to_owned(),
                    documented: documented.keys().filter_map(|status| status.parse().ok()).collect(),
                    seen: seen.map(|((_, status), count)| (*status, *count)).collect(),
                });
            }
        }
        Ok(Report(operations))
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, u16), u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A table of operations with the statuses of their answers.
pub(crate) struct Report(Vec<Operation>);

struct Operation {
    id: String,
    documented: BTreeSet<u16>,
    seen: BTreeMap<u16, u64>,
}

impl Report {
    pub(crate) fn requests(&self) -> u64 {
        self.0.iter().flat_map(|operation| operation.seen.values()).sum()
    }

    /// The operations without a documented successful answer: their success was not checked.
    pub(crate) fn never_succeeded(&self) -> Vec<&str> {
        let is_success = |status: &u16| (200..400).contains(status);
        let failed = self.0.iter().filter(|operation| {
            !operation.documented.iter().any(|status| is_success(status) && operation.seen.contains_key(status))
        });
        failed.map(|operation| operation.id.as_str()).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<24} {:>8}  {:<60} never seen", "operation", "requests", "answers")?;
        for Operation { id, documented, seen } in &self.0 {
            let requests: u64 = seen.values().sum();
            let answers: Vec<_> = seen.iter().map(|(status, count)| format!("{status} × {count}")).collect();
            let unseen: Vec<_> = documented.iter().filter(|status| !seen.contains_key(status)).collect();
            let unseen: Vec<_> = unseen.into_iter().map(u16::to_string).collect();
            writeln!(f, "{id:<24} {requests:>8}  {:<60} {}", answers.join(", "), unseen.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_report_names_operations_that_never_succeeded() {
        let operation = |id: &str| json!({"operationId": id, "responses": {"200": {}, "410": {}}});
        let document = json!({"paths": {
            "/a/{b}": {"parameters": [], "get": operation("look"), "post": operation("press")},
            "/c": {"post": operation("never")},
        }});
        let tally = Tally::default();
        tally.count("POST /a/{b+}", 303);
        tally.clear();
        for (route, status) in
            [("GET /a/{b+}", 200), ("GET /a/{b+}", 200), ("GET /a/{b+}", 410), ("POST /a/{b+}", 410), ("POST /c", 303)]
        {
            tally.count(route, status);
        }
        let report = tally.report(&document).unwrap();
        assert_eq!((report.requests(), report.never_succeeded()), (5, vec!["press", "never"]));
        let shown = report.to_string();
        let lines: Vec<Vec<_>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["look", "3", "200", "×", "2,", "410", "×", "1"]);
        assert_eq!(lines[2], ["press", "1", "410", "×", "1", "200"]);
    }
}
