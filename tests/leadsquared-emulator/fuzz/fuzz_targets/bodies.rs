//! Fuzz target: any bytes as the body of any call get an answer in LeadSquared's shape and cause no panic.
//!
//! An input is a call's name, a line feed, and the body. `cargo +nightly fuzz run bodies -- -max_total_time=60`.
#![no_main]

use std::cell::RefCell;

use leadsquared_emulator::{Call, Emulator, Settings};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

/// The number of inputs of one account. A new one then replaces it, so that it does not fill up.
const INPUTS_PER_ACCOUNT: u32 = 5_000;

struct Account {
    runtime: Runtime,
    emulator: Emulator,
    headers: [(&'static str, String); 3],
    inputs: u32,
}

impl Account {
    fn new() -> Self {
        let mut settings = Settings { seed: Some(1), ..Settings::for_tests() };
        settings.limit.calls = u32::MAX;
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        let emulator = runtime.block_on(Emulator::start(settings)).expect("an emulator starts");
        let mut account = Self { runtime, emulator, headers: Default::default(), inputs: 0 };
        let public_key = account.call(Call::PublicAuthKey, &[])["PublicAuthKey"].clone();
        let token = account.call(Call::RegistrationToken, &[]);
        account.headers = [
            ("authorization", text(&public_key)),
            ("x-lsq-registertoken", text(&token)),
            ("x-lsq-portalid", account.emulator.portal_id()),
        ];
        account
    }

    fn call(&self, call: Call, body: &[u8]) -> Value {
        let (access_key, secret_key) = self.emulator.keys();
        let query = format!("accessKey={}&secretKey={secret_key}", access_key.replace('$', "%24"));
        let mut request = http::Request::builder().method(call.method()).uri(format!("{}?{query}", call.path()));
        for (name, value) in self.headers.iter().filter(|(name, _)| !name.is_empty()) {
            request = request.header(*name, value);
        }
        let request = request.body(body.to_vec()).expect("the request is well formed");
        let response = self.runtime.block_on(self.emulator.answer(request));
        let status = response.status().as_u16();
        let answer: Value = serde_json::from_slice(response.body()).expect("the answer is JSON");
        if status != 200 {
            assert_eq!(answer["Status"], "Error", "{call} answered {status}: {answer}");
            assert!(answer["ExceptionType"].is_string() && answer["ExceptionMessage"].is_string());
            assert_ne!(answer["ExceptionType"], "InternalServerError", "{call}");
        }
        answer
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a key is text").to_owned()
}

thread_local! {
    static ACCOUNT: RefCell<Account> = RefCell::new(Account::new());
}

fuzz_target!(|input: &[u8]| {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return };
    let Some(call) = std::str::from_utf8(&input[..end]).ok().and_then(Call::named) else { return };
    // Saving a webhook sends a request to its address, which fuzzing must not do.
    if [Call::CreateWebhook, Call::UpdateWebhook].contains(&call) {
        return;
    }
    ACCOUNT.with_borrow_mut(|account| {
        if account.inputs == INPUTS_PER_ACCOUNT {
            *account = Account::new();
        }
        account.inputs += 1;
        account.call(call, &input[end + 1..]);
    });
});
