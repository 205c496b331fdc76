//! Whether the time of an answer reveals who has an account.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use futures::future::try_join_all;
use runtime_api::Function;
use serde_json::{Value, json};

use crate::sandbox::{Sandbox, known, phone};
use crate::welch::{Sample, t};

/// The number of requests about one person: below the limits on attempts.
const EACH: usize = 8;

/// The number of answers that are measured without a floor, to prove that a leak is detected.
const CONTROL: usize = 400;

/// A |t| from here on is taken for a real difference.
const THRESHOLD: f64 = 4.5;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The number of answers to measure for each route; half of them are about portal users.
    #[arg(long, default_value_t = 10_000)]
    samples: usize,
    /// The function's `ANSWER_FLOOR_MS`. Default: the template's. It must be longer than the work of an answer on this
    /// machine.
    #[arg(long, default_value_t = 1500)]
    floor_ms: u64,
    /// The number of processes that answer at the same time.
    #[arg(long, default_value_t = 20)]
    processes: usize,
}

/// The paths of a sequence of requests, and the status of each answer.
type Script = &'static [(&'static str, u64)];
const SIGN_IN: Script = &[("/sign-in", 401)];
const FORGOT: Script = &[("/password/forgot", 202)];
const CODE: Script = &[("/sign-in/code", 202), ("/sign-in/code/verify", 401)];

/// Measures and prints; returns whether the times reveal nothing.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let Arguments { samples, floor_ms, processes } = *arguments;
    let sandbox = Sandbox::new((samples + CONTROL).div_ceil(2 * EACH)).await?;
    let floor = Duration::from_millis(floor_ms);
    let mut passed = true;
    println!("{:<20} {:>9} {:>8} {:>18} {:>18} {:>8}", "route", "floor", "samples", "known", "unknown", "|t|");
    for (script, floor, numbers, processes, leaks) in [
        // The emulator hashes the passwords of known people only. If this difference is not detected, no leak would be.
        // Few processes at a time: without a floor, requests would slow each other down.
        (SIGN_IN, Duration::ZERO, samples..samples + CONTROL, processes.min(2), true),
        (SIGN_IN, floor, 0..samples, processes, false),
        (FORGOT, floor, 0..samples, processes, false),
        (CODE, floor, 0..samples, processes, false),
    ] {
        let function = &sandbox.function(floor, processes).await?;
        let measured = measure(&sandbox, function, script, numbers, floor, processes).await?;
        for ((path, _), [known, unknown]) in script.iter().zip(measured) {
            let t = t(&known, &unknown).abs();
            let shown = |sample: &Sample| format!("{:.3} ± {:.3}", sample.mean(), sample.deviation());
            let samples = known.count() + unknown.count();
            let floor = format!("{} ms", floor.as_millis());
            println!("{path:<20} {floor:>9} {samples:>8} {:>18} {:>18} {t:>8.2}", shown(&known), shown(&unknown));
            match (t >= THRESHOLD, leaks) {
                (true, false) => println!("{path}: the times reveal who has an account"),
                (false, true) => println!("{path}: a known leak was not detected"),
                _ => continue,
            }
            passed = false;
        }
    }
    println!("Times in ms. {}", if passed { "They reveal nothing." } else { "FAILED" });
    sandbox.end().await;
    Ok(passed)
}

/// The times of the answers about known and about unknown people, requested in turns.
async fn measure(
    sandbox: &Sandbox,
    function: &Function,
    script: Script,
    numbers: Range<usize>,
    floor: Duration,
    processes: usize,
) -> anyhow::Result<Vec<[Sample; 2]>> {
    // The first requests make every process read its credentials.
    let first =
        (0..2 * processes).map(|number| ask(sandbox, function, "/sign-in", usize::MAX - number, false, &Value::Null));
    try_join_all(first).await?;
    let all = numbers.len() * script.len();
    let none = || vec![<[Sample; 2]>::default(); script.len()];
    let lanes = (0..processes).map(async |lane| {
        let (mut times, mut others) = (none(), 0);
        // The lanes start at different times: simultaneous requests would slow each other down.
        tokio::time::sleep(floor.mul_f64(lane as f64 / processes as f64)).await;
        for number in numbers.clone().skip(lane).step_by(processes) {
            let is_known = is_known(number);
            let mut last_answer = Value::Null;
            for ((path, status), times) in script.iter().zip(&mut times) {
                let began = Instant::now();
                let (answered, body) = ask(sandbox, function, path, number, is_known, &last_answer).await?;
                times[usize::from(!is_known)].add(began.elapsed().as_secs_f64() * 1000.0);
                others += usize::from(answered != *status);
                last_answer = body;
            }
        }
        anyhow::Ok((times, others))
    });
    let lanes: Vec<(Vec<[Sample; 2]>, usize)> = try_join_all(lanes).await?;
    // A busy machine refuses some requests, of known and unknown people alike.
    let others: usize = lanes.iter().map(|(_, others)| others).sum();
    ensure!(
        others * 20 <= all,
        "{others} of {all} answers were not those of {script:?}: measure on a machine with less load"
    );
    Ok(lanes.iter().fold(none(), |sums, (times, _)| {
        let both = sums.iter().zip(times);
        both.map(|(sum, times)| [sum[0].with(&times[0]), sum[1].with(&times[1])]).collect()
    }))
}

/// Of each two consecutive requests one is about a portal user. Which one is pseudo-random, so that it does not
/// correlate with periodic load on this machine.
fn is_known(number: usize) -> bool {
    let mut hasher = DefaultHasher::new();
    (number / 2).hash(&mut hasher);
    (hasher.finish() ^ number as u64).is_multiple_of(2)
}

/// Sends a request from a network address of its own; returns status and body of the answer. A request with a code uses
/// the challenge of the last answer.
async fn ask(
    sandbox: &Sandbox,
    function: &Function,
    path: &str,
    number: usize,
    is_known: bool,
    last_answer: &Value,
) -> anyhow::Result<(u64, Value)> {
    let person = number / (2 * EACH);
    let email = match is_known {
        true => known(person),
        false => format!("other{person:05}@example.test"),
    };
    let body: Value = match path {
        "/sign-in" => json!({"email": email, "password": "wrong"}),
        "/sign-in/code" => json!({ "phone": phone(is_known, person) }),
        "/sign-in/code/verify" => json!({"challenge": last_answer["challenge"], "code": "wrong"}),
        _ => json!({ "email": email }),
    };
    let [.., one, two, three] = number.to_be_bytes();
    sandbox.ask(function, path, &body, &format!("10.{one}.{two}.{three}")).await
}
