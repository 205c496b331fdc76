//! Tests of the client's policies around a call: credentials, repeats, deadlines, admission.

use std::future::ready;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use leadsquared::crm::Notify;
use leadsquared::portal::{Identifier, Registration};
use leadsquared::{
    Admission, Attributes, BoxFuture, Client, EmailAddress, Error, ErrorKind, Keys, Lane, LeadId, PlannedCall,
    RateLimit, Throttled, TurnedAway,
};
use tokio::net::TcpSocket;
use virtual_clock::{Chance, VirtualClock};

use crate::{LEAD, assert_hides_secrets, client, client_with, options};
use leadsquared_fake::{Fake, Reply, credential};

const PUBLIC_KEY: &str = "/api/Access/PublicToken";
const TOKEN: &str = "/api/Access/GetRegisterToken";
const TENANT_KEY: &str = "/api/AutoLogin/GenerateTenantAuthKey";
const REGISTER: &str = "/api/Authentication/v2/Register";
const LEAD_KEY: &str = "/api/AutoLogin/Generate";
const SIGN_IN: &str = "/api/Authentication/v2/Signin";
const CODE: &str = "/api/Authentication/v2/SigninOTP/Get";
const CHANGE: &str = "/api/Settings/v2/ChangePassword";
const UPDATE: &str = "/v2/LeadManagement.svc/Lead.Update";
const BY_PHONE: &str = "/v2/LeadManagement.svc/RetrieveLeadByPhoneNumber";
const BY_EMAIL: &str = "/v2/LeadManagement.svc/Leads.GetByEmailaddress";

fn registration() -> Registration {
    let fields = Attributes::new().with("EmailAddress", "asha@example.test");
    Registration { register_only_new_lead: true, password: "Example@Pass1".into(), fields }
}

fn email() -> EmailAddress {
    "asha@example.test".parse().unwrap()
}

fn lead() -> LeadId {
    LEAD.parse().unwrap()
}

fn registered() -> Reply {
    Reply::Answer(200, format!(r#"{{"LeadId":"{LEAD}","Message":"Registration Successful"}}"#))
}

fn lead_key() -> Reply {
    Reply::Answer(200, format!(r#"{{"AuthKey":"bGVhZC+key/A==","LeadId":"{LEAD}"}}"#))
}

/// A fake that answers every call with success.
fn healthy() -> Fake {
    Fake::start(|request| match request.path() {
        REGISTER => registered(),
        LEAD_KEY => lead_key(),
        BY_EMAIL => Reply::Answer(200, "[]".to_owned()),
        _ => credential(request).unwrap_or(Reply::Answer(404, String::new())),
    })
}

/// A client whose clock stands still until the test moves it, and the clock.
fn client_and_clock(fake: &Fake) -> (Client, VirtualClock) {
    let clock = VirtualClock::new(Chance::new(1));
    let (mut options, time) = (options(fake), clock.clone());
    options.clock = Arc::new(move || time.instant());
    (client_with(options), clock)
}

#[tokio::test]
async fn a_warm_invitation_costs_two_calls() {
    let fake = healthy();
    let client = client(&fake);
    for _ in 0..3 {
        client.register(&registration()).await.unwrap();
        client.lead_auto_login_key(&lead()).await.unwrap();
    }
    let counts = [PUBLIC_KEY, TOKEN, TENANT_KEY, REGISTER, LEAD_KEY].map(|path| fake.count(path));
    assert_eq!(counts, [1, 1, 1, 3, 3]);
}

#[tokio::test]
async fn many_first_calls_at_once_fetch_each_credential_once() {
    let fake = healthy();
    let client = client(&fake);
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.register(&registration()).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!([PUBLIC_KEY, TOKEN, REGISTER].map(|path| fake.count(path)), [1, 1, 8]);
}

#[tokio::test]
async fn callers_that_waited_for_a_failed_fetch_share_its_failure() {
    let fake = Fake::answering(PUBLIC_KEY, 401, "");
    let client = client(&fake);
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.register(&registration()).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap_err().name(), "BadKeys");
    }
    assert_eq!([PUBLIC_KEY, REGISTER].map(|path| fake.count(path)), [1, 0]);
}

#[tokio::test]
async fn a_tenant_key_is_not_used_in_its_last_ten_minutes() {
    let fake = healthy();
    let (client, clock) = client_and_clock(&fake);
    client.lead_auto_login_key(&lead()).await.unwrap();
    clock.advance(Duration::from_secs((4 * 60 - 10) * 60 - 1));
    client.lead_auto_login_key(&lead()).await.unwrap();
    assert_eq!(fake.count(TENANT_KEY), 1);
    clock.advance(Duration::from_secs(1));
    client.lead_auto_login_key(&lead()).await.unwrap();
    assert_eq!(fake.count(TENANT_KEY), 2);
}

/// Issues the public keys `key-0`, `key-1` and so on, and accepts none older than `oldest_good`.
fn rotating(oldest_good: Arc<AtomicUsize>) -> Fake {
    let issued = AtomicUsize::new(0);
    Fake::start(move |request| match request.path() {
        PUBLIC_KEY => {
            Reply::Answer(200, format!(r#"{{"PublicAuthKey":"key-{}"}}"#, issued.fetch_add(1, Ordering::SeqCst)))
        }
        REGISTER => {
            let key: usize = request.header("authorization").unwrap()[4..].parse().unwrap();
            if key >= oldest_good.load(Ordering::SeqCst) { registered() } else { Reply::Answer(401, String::new()) }
        }
        _ => credential(request).unwrap_or(Reply::Answer(404, String::new())),
    })
}

#[tokio::test]
async fn a_stale_credential_is_renewed_once_and_the_call_repeated() {
    let oldest_good = Arc::new(AtomicUsize::new(0));
    let fake = rotating(oldest_good.clone());
    let (client, clock) = client_and_clock(&fake);
    client.register(&registration()).await.unwrap();
    oldest_good.store(1, Ordering::SeqCst);
    client.register(&registration()).await.unwrap();
    assert_eq!([PUBLIC_KEY, TOKEN, REGISTER].map(|path| fake.count(path)), [2, 2, 3]);

    oldest_good.store(2, Ordering::SeqCst);
    clock.advance(Duration::from_secs(29));
    assert_eq!(client.register(&registration()).await.unwrap_err().name(), "StaleCredential");
    assert_eq!([PUBLIC_KEY, REGISTER].map(|path| fake.count(path)), [2, 4], "renewed at most once in 30 s");

    clock.advance(Duration::from_secs(1));
    client.register(&registration()).await.unwrap();
    assert_eq!([PUBLIC_KEY, REGISTER].map(|path| fake.count(path)), [3, 6]);
}

#[tokio::test]
async fn a_new_credential_that_is_refused_as_well_is_a_fault_of_the_configuration() {
    let fake = rotating(Arc::new(AtomicUsize::new(usize::MAX)));
    let (client, _) = client_and_clock(&fake);
    let error = client.register(&registration()).await.unwrap_err();
    assert_eq!(error.name(), "FreshCredentialRefused");
    assert!(error.is_configuration());
    assert_eq!([PUBLIC_KEY, REGISTER].map(|path| fake.count(path)), [2, 2]);
}

#[tokio::test]
async fn an_unchanged_credential_is_not_tried_again() {
    let fake = Fake::answering(REGISTER, 401, "");
    let error = client(&fake).register(&registration()).await.unwrap_err();
    assert_eq!(error.name(), "FreshCredentialRefused");
    assert_eq!([PUBLIC_KEY, TOKEN, REGISTER].map(|path| fake.count(path)), [2, 2, 1]);
}

#[tokio::test]
async fn refused_keys_discard_the_credentials_derived_from_them() {
    let bad = Arc::new(AtomicUsize::new(0));
    let refuses = bad.clone();
    let fake = Fake::start(move |request| match request.path() {
        REGISTER => registered(),
        BY_EMAIL if refuses.load(Ordering::SeqCst) == 1 => Reply::Answer(401, String::new()),
        _ => credential(request).unwrap_or(Reply::Answer(404, String::new())),
    });
    let client = client(&fake);
    client.register(&registration()).await.unwrap();
    bad.store(1, Ordering::SeqCst);
    assert_eq!(client.leads_by_email(&email()).await.unwrap_err().name(), "BadKeys");
    client.register(&registration()).await.unwrap();
    assert_eq!([PUBLIC_KEY, TOKEN].map(|path| fake.count(path)), [2, 2]);
}

#[tokio::test]
async fn a_call_that_may_have_happened_is_repeated_only_where_that_does_no_harm() {
    let broken: [fn() -> Reply; 3] = [
        || Reply::Cut,
        || Reply::Truncated(r#"{"LeadId":"x"}"#.to_owned()),
        || Reply::Answer(502, "<html>Bad Gateway</html>".to_owned()),
    ];
    for reply in broken {
        let fake = Fake::start(move |request| match request.path() {
            REGISTER | BY_EMAIL => reply(),
            _ => credential(request).unwrap_or(Reply::Answer(404, String::new())),
        });
        let mut options = options(&fake);
        options.chance = Arc::new(|| 0.0);
        let client = client_with(options);
        for error in [
            client.register(&registration()).await.map(drop).unwrap_err(),
            client.leads_by_email(&email()).await.map(drop).unwrap_err(),
        ] {
            assert!(error.may_have_taken_effect(), "{error:?}");
            assert_hides_secrets(&error);
        }
        assert_eq!([REGISTER, BY_EMAIL].map(|path| fake.count(path)), [1, 3]);
        // A queue repeats the work.
        client.in_lane(Lane::Background).leads_by_email(&email()).await.unwrap_err();
        assert_eq!(fake.count(BY_EMAIL), 4);
    }
}

#[tokio::test]
async fn a_refusal_is_never_repeated() {
    let refusals = [
        (500, r#"{"Status":"Error","ExceptionType":"MXInvalidInputException","ExceptionMessage":"x"}"#),
        (429, r#"{"Status":"Error","ExceptionType":"MXAPIRateLimitExceededException","ExceptionMessage":"x"}"#),
        (404, ""),
    ];
    for (status, body) in refusals {
        let fake = Fake::answering(BY_EMAIL, status, body);
        client(&fake).leads_by_email(&email()).await.unwrap_err();
        assert_eq!(fake.count(BY_EMAIL), 1, "{status}");
    }
}

#[tokio::test]
async fn a_repeat_that_succeeds_is_a_success() {
    let calls = AtomicUsize::new(0);
    let fake = Fake::start(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::Cut,
        _ => Reply::Answer(200, "[]".to_owned()),
    });
    let mut options = options(&fake);
    options.chance = Arc::new(|| 0.0);
    assert_eq!(client_with(options).leads_by_email(&email()).await.unwrap(), []);
}

#[tokio::test]
async fn an_unreachable_host_got_no_request() {
    // Bound but not listening: the port is ours, and connections to it are refused.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let fake = healthy();
    let mut options = options(&fake);
    options.api = format!("http://{}", socket.local_addr().unwrap()).parse().unwrap();
    options.chance = Arc::new(|| 0.0);
    let error = client_with(options).leads_by_email(&email()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)) && error.kind() == ErrorKind::Transient, "{error:?}");
    assert_hides_secrets(&error);
}

#[tokio::test]
async fn silence_ends_with_the_attempt_and_is_an_unknown_result() {
    let fake = Fake::start(|request| credential(request).unwrap_or(Reply::Silence));
    let mut options = options(&fake);
    options.timeouts.attempt = Duration::from_millis(50);
    let error = client_with(options).register(&registration()).await.unwrap_err();
    assert!(matches!(error, Error::UnknownResult(_)), "{error:?}");
    assert_hides_secrets(&error);
}

#[tokio::test]
async fn nothing_is_sent_after_the_deadline() {
    let fake = healthy();
    let (client, clock) = client_and_clock(&fake);
    let client = client.within(clock.instant());
    assert_eq!(client.register(&registration()).await.unwrap_err().name(), "OutOfTime");
    assert_eq!(client.leads_by_email(&email()).await.unwrap_err().name(), "OutOfTime");
    assert_eq!(fake.seen().len(), 0);
}

#[tokio::test]
async fn a_deadline_cuts_a_call_that_is_under_way() {
    let fake = Fake::start(|_| Reply::Silence);
    let client = client(&fake).within(Instant::now() + Duration::from_millis(500));
    let error = client.leads_by_email(&email()).await.unwrap_err();
    assert!(matches!(error, Error::UnknownResult(_)), "{error:?}");
    assert_eq!(fake.count(BY_EMAIL), 1, "no time is left for a repeat");
}

/// Records every request for a slot, and every refusal that it is notified of.
#[derive(Default)]
struct Gate {
    asked: Mutex<Vec<PlannedCall>>,
    refusals: Mutex<Vec<Throttled>>,
    closed: bool,
}

impl Admission for Gate {
    fn admit(&self, call: PlannedCall) -> BoxFuture<'_, Result<(), TurnedAway>> {
        self.asked.lock().unwrap().push(call);
        let turned_away = TurnedAway { retry_after: Some(Duration::from_secs(5)), source: None };
        Box::pin(ready(if self.closed { Err(turned_away) } else { Ok(()) }))
    }

    fn throttled(&self, refusal: Throttled) -> BoxFuture<'_, ()> {
        self.refusals.lock().unwrap().push(refusal);
        Box::pin(ready(()))
    }
}

#[tokio::test]
async fn every_request_asks_for_a_slot_in_its_lane() {
    let (fake, gate) = (healthy(), Arc::new(Gate::default()));
    let mut options = options(&fake);
    options.admission = gate.clone();
    let client = client_with(options);
    client.in_lane(Lane::Background).followed().register(&registration()).await.unwrap();
    client.leads_by_email(&email()).await.unwrap();
    let asked: Vec<_> = gate.asked.lock().unwrap().iter().map(|call| (call.lane, call.is_followed)).collect();
    let register = (Lane::Background, true);
    let expected = [register, register, register, (Lane::Interactive, false)];
    assert_eq!(asked, expected, "the fetching of credentials asks as well");
    assert_eq!(fake.seen().len(), 4);
}

#[tokio::test]
async fn a_call_without_a_slot_is_not_made() {
    let (fake, gate) = (healthy(), Arc::new(Gate { closed: true, ..Gate::default() }));
    let mut options = options(&fake);
    options.admission = gate;
    let error = client_with(options).register(&registration()).await.unwrap_err();
    let Error::TurnedAway(turned_away) = &error else { panic!("{error:?}") };
    assert_eq!(turned_away.retry_after, Some(Duration::from_secs(5)));
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert_eq!(fake.seen().len(), 0);
}

#[tokio::test]
async fn admission_is_notified_of_a_rate_limit() {
    let gate = Arc::new(Gate::default());
    let fake = Fake::answering(BY_EMAIL, 429, "API calls exceeded the limit of 25 in 5 second(s)");
    let mut options = options(&fake);
    options.admission = gate.clone();
    let client = client_with(options).in_lane(Lane::Background);
    assert_eq!(client.leads_by_email(&email()).await.unwrap_err().name(), "RateLimited");
    let limit = Some(RateLimit { calls: 25, window: Duration::from_secs(5) });
    assert_eq!(*gate.refusals.lock().unwrap(), [Throttled { lane: Lane::Background, limit }]);
}

#[tokio::test]
async fn the_wait_for_a_slot_ends_with_the_deadline() {
    struct Never;
    impl Admission for Never {
        fn admit(&self, _: PlannedCall) -> BoxFuture<'_, Result<(), TurnedAway>> {
            Box::pin(std::future::pending())
        }
        fn throttled(&self, _: Throttled) -> BoxFuture<'_, ()> {
            Box::pin(std::future::pending())
        }
    }
    let fake = healthy();
    let (mut options, now) = (options(&fake), Instant::now());
    options.admission = Arc::new(Never);
    options.clock = Arc::new(move || now);
    let client = client_with(options).within(now + Duration::from_millis(30));
    assert_eq!(client.leads_by_email(&email()).await.unwrap_err().name(), "OutOfTime");
    assert_eq!(fake.seen().len(), 0);
}

#[tokio::test]
async fn other_keys_start_with_nothing_derived() {
    let fake = healthy();
    let client = client(&fake);
    client.register(&registration()).await.unwrap();
    client.with_keys(crate::keys()).register(&registration()).await.unwrap();
    assert_eq!([PUBLIC_KEY, TOKEN, REGISTER].map(|path| fake.count(path)), [2, 2, 2]);
}

/// Issues a new public key each time and refuses every sign-in.
fn refusing_sign_in() -> Fake {
    let issued = AtomicUsize::new(0);
    Fake::start(move |request| match request.path() {
        PUBLIC_KEY => {
            Reply::Answer(200, format!(r#"{{"PublicAuthKey":"key-{}"}}"#, issued.fetch_add(1, Ordering::SeqCst)))
        }
        SIGN_IN => Reply::Answer(401, String::new()),
        _ => credential(request).unwrap_or(Reply::Answer(404, String::new())),
    })
}

#[tokio::test]
async fn a_wrong_password_is_tried_once_while_the_credentials_stay_the_same() {
    let fake = Fake::answering(SIGN_IN, 401, "");
    let client = client(&fake);
    for _ in 0..3 {
        let error = client.sign_in(&Identifier::Email(email()), &"Example@Pass1".into()).await.unwrap_err();
        assert_eq!(error.name(), "BadPortalPassword");
    }
    assert_eq!([PUBLIC_KEY, TOKEN, SIGN_IN].map(|path| fake.count(path)), [2, 2, 3], "renewed at most once in 30 s");
}

#[tokio::test]
async fn a_password_is_tried_again_with_changed_credentials_but_only_once() {
    let fake = refusing_sign_in();
    let error = client(&fake).sign_in(&Identifier::Email(email()), &"Example@Pass1".into()).await.unwrap_err();
    assert_eq!(error.name(), "BadPortalPassword");
    assert_eq!([PUBLIC_KEY, SIGN_IN].map(|path| fake.count(path)), [2, 2]);
}

#[tokio::test]
async fn a_wrong_password_does_not_cost_the_others_their_credentials() {
    let issued = AtomicUsize::new(0);
    let fake = Fake::start(move |request| match request.path() {
        PUBLIC_KEY if issued.fetch_add(1, Ordering::SeqCst) > 0 => Reply::Answer(429, String::new()),
        SIGN_IN if request.body.contains("wrong") => Reply::Answer(401, String::new()),
        SIGN_IN => Reply::Answer(200, format!(r#"{{"AuthKey":"c2Vzc2lvbg+key/A==","LeadId":"{LEAD}"}}"#)),
        CHANGE => Reply::Answer(401, String::new()),
        REGISTER => registered(),
        _ => credential(request).unwrap_or(Reply::Answer(404, String::new())),
    });
    let who = Identifier::Email(email());
    let (client, _) = client_and_clock(&fake);
    client.register(&registration()).await.unwrap();
    let error = client.sign_in(&who, &"wrong".into()).await.unwrap_err();
    assert_eq!(error.name(), "BadPortalPassword", "and not that the key could not be renewed");
    assert_eq!(fake.count(PUBLIC_KEY), 2, "it was attempted");
    client.sign_in(&who, &"Example@Pass1".into()).await.unwrap();
    client.register(&registration()).await.unwrap();
    let (current, new) = ("Example@Pass1".into(), "New@Pass2".into());
    let error = client.change_password(&"c2Vzc2lvbg+key/A==".into(), &current, &new).await.unwrap_err();
    assert_eq!(error.name(), "SessionEnded");
}

#[tokio::test]
async fn passwords_that_are_tried_at_once_are_each_tried_once() {
    // All four are on their way before the first is refused, so that each holds the same credentials.
    let (arrived, all_here) = (Mutex::new(0), Condvar::new());
    let fake = Fake::start(move |request| match request.path() {
        SIGN_IN => {
            let mut count = arrived.lock().unwrap();
            *count += 1;
            all_here.notify_all();
            let patience = Duration::from_secs(10);
            drop(all_here.wait_timeout_while(count, patience, |count| *count < 4).unwrap());
            Reply::Answer(401, String::new())
        }
        _ => credential(request).unwrap_or(Reply::Answer(404, String::new())),
    });
    let client = client(&fake);
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.sign_in(&Identifier::Email(email()), &"Example@Pass1".into()).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap_err().name(), "BadPortalPassword");
    }
    assert_eq!(fake.count(SIGN_IN), 4);
}

#[tokio::test]
async fn a_password_that_is_clearly_wrong_renews_nothing() {
    let fake = Fake::answering(
        SIGN_IN,
        401,
        r#"{"Status":"Error","ExceptionType":"x","ExceptionMessage":"Invalid username or password."}"#,
    );
    let error = client(&fake).sign_in(&Identifier::Email(email()), &"Example@Pass1".into()).await.unwrap_err();
    assert_eq!(error.name(), "BadPortalPassword");
    assert_eq!([PUBLIC_KEY, TOKEN, SIGN_IN].map(|path| fake.count(path)), [1, 1, 1]);
}

#[tokio::test]
async fn an_update_that_webhooks_are_notified_of_is_not_repeated() {
    for (notify, attempts) in [(Notify::Webhooks, 1), (Notify::Nothing, 3)] {
        let fake = Fake::answering(UPDATE, 502, "");
        let mut options = options(&fake);
        options.chance = Arc::new(|| 0.0);
        let fields = Attributes::new().with("FirstName", "Asha");
        let error = client_with(options).update_lead(&lead(), &fields, notify).await.unwrap_err();
        assert_eq!((error.name(), fake.count(UPDATE)), ("ServerFault", attempts));
    }
}

#[tokio::test]
async fn a_code_goes_back_with_the_number_as_leadsquared_wrote_it() {
    let fake = Fake::start(|request| match request.path() {
        CODE => Reply::Answer(200, r#"{"Code":"b3BhcXVl","FieldContent":"09000000001","Status":"Success"}"#.to_owned()),
        SIGN_IN => Reply::Answer(200, format!(r#"{{"AuthKey":"c2Vzc2lvbg+key/A==","LeadId":"{LEAD}"}}"#)),
        _ => credential(request).unwrap_or(Reply::Answer(404, String::new())),
    });
    let client = client(&fake);
    let sent = client.send_sign_in_code("Phone", "+91-9000000001").await.unwrap();
    client.sign_in_with_code(&sent, &"123456".into()).await.unwrap();
    let seen = fake.seen();
    let body: serde_json::Value = serde_json::from_str(&seen.last().unwrap().body).unwrap();
    let data = serde_json::json!({ "Otp": "123456", "FieldContent": "09000000001", "Code": "b3BhcXVl" });
    assert_eq!(body, serde_json::json!({ "OTPSigninRequest": true, "OTPSigninData": data }));
}

#[tokio::test]
async fn a_session_key_that_cannot_be_a_header_is_no_session() {
    let fake = healthy();
    let (current, new) = ("Example@Pass1".into(), "New@Pass2".into());
    let error = client(&fake).change_password(&"a\r\nx-lsq-portalid: b".into(), &current, &new).await.unwrap_err();
    assert_eq!(error.name(), "SessionEnded");
    assert_eq!(fake.count(CHANGE), 0);
}

#[tokio::test]
async fn keys_that_cannot_be_a_header_are_bad_keys() {
    let fake = healthy();
    let keys = Keys { access_key: "u$r\n".into(), secret_key: "x".into() };
    let error = client(&fake).with_keys(keys).leads_by_email(&email()).await.unwrap_err();
    assert_eq!(error.name(), "BadKeys");
    assert_eq!(fake.seen().len(), 0);
}

#[tokio::test]
async fn a_phone_is_looked_for_in_both_spellings() {
    let fake = Fake::answering(BY_PHONE, 200, "[]");
    assert_eq!(client(&fake).leads_by_phone(&"+91-9000000001".parse().unwrap()).await.unwrap(), []);
    let asked: Vec<String> = fake.seen().iter().map(|request| request.query()[0].1.clone()).collect();
    assert_eq!(asked, ["+91-9000000001", "919000000001"]);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let fake = Fake::answering(BY_EMAIL, 302, "");
    assert_eq!(client(&fake).leads_by_email(&email()).await.unwrap_err().name(), "Undocumented");
    assert!(fake.seen().iter().all(|request| request.path() == BY_EMAIL));
}

#[tokio::test]
async fn a_body_without_end_is_cut_off() {
    let fake = Fake::answering(BY_EMAIL, 200, &format!("[{}]", " ".repeat(9 * 1024 * 1024)));
    let mut options = options(&fake);
    options.repeats = 0;
    let error = client_with(options).leads_by_email(&email()).await.unwrap_err();
    assert!(matches!(error, Error::Undocumented { status: 200, line: 0, .. }), "{error:?}");
}
