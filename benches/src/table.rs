//! Many runs' lines as one table: medians, ratios, and the bars that they shall reach.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

/// One thing that has to hold. A figure is named `server/run.field`.
struct Bar {
    what: &'static str,
    figure: &'static str,
    /// What it is divided by; nothing where the bar is a figure itself.
    by: Option<&'static str>,
    at_least: bool,
    bar: f64,
}

const fn bar(what: &'static str, figure: &'static str, by: Option<&'static str>, at_least: bool, bar: f64) -> Bar {
    Bar { what, figure, by, at_least, bar }
}

/// The rows of `docs/performance.md` that `benches/run.sh` measures.
const BARS: &[Bar] = &[
    bar(
        "saturated: deliveries/s",
        "kabar/saturated.deliveries_per_s",
        Some("naive/saturated.deliveries_per_s"),
        true,
        1.5,
    ),
    bar(
        "saturated: CPU/delivery",
        "kabar/saturated.cpu_us_per_delivery",
        Some("naive/saturated.cpu_us_per_delivery"),
        false,
        0.6,
    ),
    bar("20/s: CPU/delivery", "kabar/rated.cpu_us_per_delivery", Some("naive/rated.cpu_us_per_delivery"), false, 1.15),
    bar("20/s: p99", "kabar/rated.p99_ms", Some("naive/rated.p99_ms"), false, 1.2),
    bar("500 rooms of 2: publishes/s", "kabar/rooms.publishes_per_s", Some("naive/rooms.publishes_per_s"), true, 0.6),
    bar("idle socket: bytes", "kabar/idle.rss_bytes_per_socket", None, false, 2_048.0),
    bar("storm: longest publish, ms", "kabar/storm.max_ms", None, false, 100.0),
    bar("storm: reconnected in, s", "kabar/storm.reconnect_seconds", None, false, 2.0),
    bar(
        "19,000 sockets: CPU/delivery",
        "kabar/growth.cpu_us_per_delivery",
        Some("kabar/rated.cpu_us_per_delivery"),
        false,
        1.15,
    ),
    bar(
        "19,000: growth beside naive's",
        "kabar/growth.cpu_us_per_delivery",
        Some("naive/growth.cpu_us_per_delivery"),
        false,
        1.15,
    ),
    bar(
        "100,000 more channels: publishes/s",
        "kabar/channels.publishes_per_s",
        Some("kabar/rooms.publishes_per_s"),
        true,
        0.95,
    ),
    bar("1 of 1,000 stalled: p99", "kabar/stalled.p99_ms", Some("kabar/calm.p99_ms"), false, 1.2),
    bar("chat: sends/s over pgbench", "kabar/chat.publishes_per_s", Some("pgbench/chat.publishes_per_s"), true, 0.8),
    bar("chat: p99 to a socket, ms", "kabar/chat.p99_ms", None, false, 100.0),
];

/// Reads the lines (each with a `label` of `server/run`), prints the table, and fails if messages were lost.
pub(crate) fn print(file: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut figures: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut lost = 0.0;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let Value::Object(run) = serde_json::from_str(line).context(line.to_owned())? else { continue };
        let label = run.get("label").and_then(Value::as_str).context("a line without label")?;
        for (field, value) in run.iter().filter_map(|(field, value)| Some((field, value.as_f64()?))) {
            lost += if field == "lost" || field == "refused" { value } else { 0.0 };
            figures.entry(format!("{label}.{field}")).or_default().push(value);
        }
    }
    println!("{:<30} {:>12} {:>12} {:>8} {:>8}  ", "", "kabar", "against", "ratio", "bar");
    for bar in BARS {
        println!("{}", row(bar, &figures));
    }
    anyhow::ensure!(lost == 0.0, "{lost} deliveries were lost or publishes refused: see {}", file.display());
    Ok(())
}

fn row(bar: &Bar, figures: &BTreeMap<String, Vec<f64>>) -> String {
    let median = |name: &str| {
        let mut values = figures.get(name)?.clone();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        Some(if values.len() % 2 == 0 { f64::midpoint(values[middle - 1], values[middle]) } else { values[middle] })
    };
    let found = median(bar.figure);
    let against = bar.by.and_then(median);
    let measure = if bar.by.is_some() { found.zip(against).map(|(found, against)| found / against) } else { found };
    let verdict = match measure {
        None => "not measured",
        Some(measure) if (measure >= bar.bar) == bar.at_least || measure == bar.bar => "reached",
        Some(_) => "MISSED",
    };
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
    let ratio = number(measure.filter(|_| bar.by.is_some()));
    let sign = if bar.at_least { ">=" } else { "<=" };
    format!("{:<30} {:>12} {:>12} {ratio:>8} {sign}{:>6}  {verdict}", bar.what, number(found), number(against), bar.bar)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_compares_medians_with_its_bar() {
        let figures: BTreeMap<_, _> = [
            ("kabar/rated.p99_ms".to_owned(), vec![12.0, 9.0, 11.0]),
            ("naive/rated.p99_ms".to_owned(), vec![10.0, 10.0]),
        ]
        .into();
        let of = |what: &str| row(BARS.iter().find(|bar| bar.what == what).unwrap(), &figures);
        assert!(of("20/s: p99").contains("1.10") && of("20/s: p99").ends_with("reached"), "{}", of("20/s: p99"));
        assert!(of("storm: longest publish, ms").ends_with("not measured"));
    }
}
