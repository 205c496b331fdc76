//! A picture of two figures, as SVG: the cold answer of the intake, and the throughput of the worker.

use std::fmt::Write;

use crate::report::Report;
use crate::results::{Figure, Role, Work};

const WIDTH: f64 = 720.0;
const LEFT: f64 = 170.0;
const RIGHT: f64 = 110.0;
const ROW: f64 = 30.0;
const HEAD: f64 = 44.0;
const STYLE: &str = "text { font: 13px system-ui, sans-serif; fill: #24292f } .title { font-weight: 600; font-size: 15px } \
    .bar { fill: #8c959f } .ours { fill: #1b6ac9 }";

/// One bar.
struct Bar {
    name: String,
    value: f64,
    is_ours: bool,
}

/// None without the two figures.
pub(crate) fn draw(report: &Report) -> Option<String> {
    let cold = bars(report, Work::Intake, Figure::ColdAnswer)?;
    let throughput = bars(report, Work::Worker, Figure::PerCpuSecond)?;
    Some(svg(&[
        ("First answer of a new function, ms (256 MB, TLS; shorter is better)", cold),
        ("Invitations per second of CPU time (longer is better)", throughput),
    ]))
}

fn bars(report: &Report, work: Work, figure: Figure) -> Option<Vec<Bar>> {
    let comparison = report.comparison(work)?;
    let columns = comparison.columns.iter().filter(|column| column.role != Role::Floor);
    let bar = |column: &crate::results::Column| {
        let value = comparison.summary(figure, column.name)?.median;
        Some(Bar { name: column.name.to_owned(), value, is_ours: column.role == Role::Ours })
    };
    columns.map(bar).collect()
}

fn svg(charts: &[(&str, Vec<Bar>)]) -> String {
    let height: f64 = charts.iter().map(|(_, bars)| HEAD + ROW * bars.len() as f64).sum::<f64>() + 16.0;
    let mut body = String::new();
    let mut top = 0.0;
    for (title, bars) in charts {
        let _ = writeln!(body, r#"<text class="title" x="16" y="{:.0}">{}</text>"#, top + 28.0, escaped(title));
        let longest = bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
        for (row, bar) in bars.iter().enumerate() {
            let y = top + HEAD + ROW * row as f64;
            let length = ((WIDTH - LEFT - RIGHT) * bar.value / longest).max(1.0);
            let (class, text) = (if bar.is_ours { "bar ours" } else { "bar" }, y + 16.0);
            let name = escaped(&bar.name);
            let value = if bar.value < 100.0 { format!("{:.1}", bar.value) } else { format!("{:.0}", bar.value) };
            let _ = writeln!(body, r#"<text x="16" y="{text:.0}">{name}</text>"#);
            let _ = writeln!(body, r#"<rect class="{class}" x="{LEFT}" y="{y:.0}" width="{length:.1}" height="22"/>"#);
            let _ = writeln!(body, r#"<text x="{:.1}" y="{text:.0}">{value}</text>"#, LEFT + length + 8.0);
        }
        top += HEAD + ROW * bars.len() as f64;
    }
    let title = "The functions beside the same work in Python and Node";
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}">
<title>{title}</title>
<style>{STYLE}</style>
<rect width="{WIDTH}" height="{height}" rx="6" fill="#ffffff"/>
{body}</svg>
"##
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_its_row_and_the_others_are_in_proportion() {
        let bar = |name: &str, value, is_ours| Bar { name: name.to_owned(), value, is_ours };
        let picture = svg(&[("A < B", vec![bar("ours", 10.0, true), bar("Node", 440.0, false)])]);
        assert!(picture.contains("A &lt; B"));
        assert!(picture.contains(r#"class="bar ours" x="170" y="44" width="10.0""#), "{picture}");
        assert!(picture.contains(r#"class="bar" x="170" y="74" width="440.0""#), "{picture}");
        assert!(picture.contains(">10.0</text>") && picture.contains(">440</text>"));
    }
}
