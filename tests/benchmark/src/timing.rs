//! Whether the time an answer takes tells who has an account.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use futures::future::try_join_all;
use runtime_api::Function;
use serde_json::{Value, json};

use crate::stage::{Stage, known, phone};
use crate::welch::{Sample, t};

/// How often one portal user is asked for: less than the limits on attempts have room for.
const EACH: usize = 8;

/// How many answers are measured without a floor, to see that a leak would be seen.
const CONTROL: usize = 400;

/// The largest |t| that is taken for chance.
const THRESHOLD: f64 = 4.5;

#[derive(Args)]
pub(crate) struct Arguments {
    /// How many answers to measure for each route; half of them about portal users.
    #[arg(long, default_value_t = 10_000)]
    samples: usize,
    /// The function's `ANSWER_FLOOR_MS`; the template's unless said. It has to be longer than the work of an answer takes on
    /// this machine.
    #[arg(long, default_value_t = 1500)]
    floor_ms: u64,
    /// How many processes answer side by side.
    #[arg(long, default_value_t = 20)]
    processes: usize,
}

/// What is asked for in turn, and the status of every answer to it.
type Script = &'static [(&'static str, u64)];
const SIGN_IN: Script = &[("/sign-in", 401)];
const FORGOT: Script = &[("/password/forgot", 202)];
const CODE: Script = &[("/sign-in/code", 202), ("/sign-in/code/verify", 401)];

/// Measures, prints, and says whether nothing was to be told from the times.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let Arguments { samples, floor_ms, processes } = *arguments;
    let stage = Stage::new((samples + CONTROL).div_ceil(2 * EACH)).await?;
    let floor = Duration::from_millis(floor_ms);
    let mut passed = true;
    println!("{:<20} {:>9} {:>8} {:>18} {:>18} {:>8}", "route", "floor", "samples", "known", "unknown", "|t|");
    for (script, floor, numbers, processes, leaks) in [
        // The emulator hashes the passwords of people it knows. If that were not seen, neither would be a leak. Few at a
        // time: without a floor nothing keeps them from crowding each other out.
        (SIGN_IN, Duration::ZERO, samples..samples + CONTROL, processes.min(2), true),
        (SIGN_IN, floor, 0..samples, processes, false),
        (FORGOT, floor, 0..samples, processes, false),
        (CODE, floor, 0..samples, processes, false),
    ] {
        let function = &stage.function(floor, processes).await?;
        let measured = measure(&stage, function, script, numbers, floor, processes).await?;
        for ((path, _), [known, unknown]) in script.iter().zip(measured) {
            let t = t(&known, &unknown).abs();
            let shown = |sample: &Sample| format!("{:.3} ± {:.3}", sample.mean(), sample.deviation());
            let samples = known.count() + unknown.count();
            let floor = format!("{} ms", floor.as_millis());
            println!("{path:<20} {floor:>9} {samples:>8} {:>18} {:>18} {t:>8.2}", shown(&known), shown(&unknown));
            match (t >= THRESHOLD, leaks) {
                (true, false) => println!("{path}: the times tell who has an account"),
                (false, true) => println!("{path}: no leak is seen where there is one"),
                _ => continue,
            }
            passed = false;
        }
    }
    println!("Times in ms. {}", if passed { "Nothing is to be told from them." } else { "FAILED" });
    stage.end().await;
    Ok(passed)
}

/// The times of each answer about known and about unknown people, asked for in turns.
async fn measure(
    stage: &Stage,
    function: &Function,
    script: Script,
    numbers: Range<usize>,
    floor: Duration,
    processes: usize,
) -> anyhow::Result<Vec<[Sample; 2]>> {
    // Every process fetches its credentials first, which is not what is measured.
    let first =
        (0..2 * processes).map(|number| ask(stage, function, "/sign-in", usize::MAX - number, false, &Value::Null));
    try_join_all(first).await?;
    let all = numbers.len() * script.len();
    let none = || vec![<[Sample; 2]>::default(); script.len()];
    let lanes = (0..processes).map(async |lane| {
        let (mut times, mut others) = (none(), 0);
        // Not all at once, or they would keep each other from their work.
        tokio::time::sleep(floor.mul_f64(lane as f64 / processes as f64)).await;
        for number in numbers.clone().skip(lane).step_by(processes) {
            let is_known = is_known(number);
            let mut told = Value::Null;
            for ((path, status), times) in script.iter().zip(&mut times) {
                let began = Instant::now();
                let (answered, tells) = ask(stage, function, path, number, is_known, &told).await?;
                times[usize::from(!is_known)].add(began.elapsed().as_secs_f64() * 1000.0);
                others += usize::from(answered != *status);
                told = tells;
            }
        }
        anyhow::Ok((times, others))
    });
    let lanes: Vec<(Vec<[Sample; 2]>, usize)> = try_join_all(lanes).await?;
    // A machine that is too busy turns some away, which everybody sees as well.
    let others: usize = lanes.iter().map(|(_, others)| others).sum();
    ensure!(
        others * 20 <= all,
        "{others} of {all} answers were not those of {script:?}: measure on a machine with less to do"
    );
    Ok(lanes.iter().fold(none(), |sums, (times, _)| {
        let both = sums.iter().zip(times);
        both.map(|(sum, times)| [sum[0].with(&times[0]), sum[1].with(&times[1])]).collect()
    }))
}

/// Of each two in a row one is about a portal user. Which one is as good as random, or else it would go with everything that
/// happens on this machine at regular times.
fn is_known(number: usize) -> bool {
    let mut hasher = DefaultHasher::new();
    (number / 2).hash(&mut hasher);
    (hasher.finish() ^ number as u64).is_multiple_of(2)
}

/// Asks from an address that nobody else asks from, with what the last answer told. Status and body of the answer.
async fn ask(
    stage: &Stage,
    function: &Function,
    path: &str,
    number: usize,
    is_known: bool,
    told: &Value,
) -> anyhow::Result<(u64, Value)> {
    let person = number / (2 * EACH);
    let email = match is_known {
        true => known(person),
        false => format!("other{person:05}@example.test"),
    };
    let body: Value = match path {
        "/sign-in" => json!({"email": email, "password": "wrong"}),
        "/sign-in/code" => json!({ "phone": phone(is_known, person) }),
        "/sign-in/code/verify" => json!({"challenge": told["challenge"], "code": "wrong"}),
        _ => json!({ "email": email }),
    };
    let [.., one, two, three] = number.to_be_bytes();
    stage.ask(function, path, &body, &format!("10.{one}.{two}.{three}")).await
}
