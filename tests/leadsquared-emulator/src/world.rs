//! Everything the emulator holds while it runs.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;
use tokio::sync::{Notify, watch};
use url::Url;

use crate::StartError;
use crate::body::Attribute;
use crate::call::{Call, Routes};
use crate::deliveries;
use crate::failure::Failure;
use crate::faults::Faults;
use crate::leads::{self, Writer};
use crate::limit::SlidingWindow;
use crate::randomness::{Randomness, is_guid};
use crate::settings::Settings;
use crate::store::{self, Kind, Store, StoreError};
use crate::tenant::{Tenant, User};

/// The state that all listeners share.
pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) accounts: Vec<Arc<Account>>,
    pub(crate) routes: Routes,
    pub(crate) faults: Faults,
    pub(crate) log: CallLog,
    pub(crate) randomness: Randomness,
    /// Delivers webhooks.
    pub(crate) http: reqwest::Client,
    /// Wakes the delivery of webhooks: there may be something to deliver.
    pub(crate) deliverable: Notify,
    /// Reports every change to [`Emulator::reached`](crate::Emulator::reached).
    pub(crate) changed: watch::Sender<()>,
    /// Where the emulator listens; set once it does.
    pub(crate) base: OnceLock<Url>,
}

/// One account: its settings, its data and its share of the limit.
pub(crate) struct Account {
    pub(crate) tenant: Tenant,
    users: RwLock<Vec<User>>,
    pub(crate) store: Store,
    window: Mutex<SlidingWindow>,
    /// When somebody was signed in by an auto-login link.
    openings: Mutex<Vec<OffsetDateTime>>,
}

impl World {
    pub(crate) fn new(settings: Settings) -> Result<Self, StartError> {
        if settings.limit.calls == 0 || settings.limit.window.is_zero() {
            return Err(StartError::Settings("the limit must permit at least one call in a window"));
        }
        if let Some(folder) = &settings.data {
            std::fs::create_dir_all(folder).map_err(StartError::DataFolder)?;
        }
        let mut accounts: Vec<Arc<Account>> = Vec::new();
        for tenant in std::iter::once(&settings.tenant).chain(&settings.other_tenants) {
            check(tenant, &accounts)?;
            let file = settings.data.as_ref().map(|folder| folder.join(format!("{}.sqlite", tenant.short_code)));
            let store = Store::open(file.as_deref())?;
            deliveries::resume(&store.connection(), settings.clock.now()).map_err(StoreError::Sqlite)?;
            accounts.push(Arc::new(Account {
                store,
                users: RwLock::new(tenant.users.clone()),
                tenant: tenant.clone(),
                window: Mutex::default(),
                openings: Mutex::default(),
            }));
        }
        let starts: Vec<u64> = accounts.iter().map(|account| account.store.starts()).collect();
        let randomness = || match settings.seed {
            Some(seed) => Ok(Randomness::seeded(seed, &starts)),
            None => Randomness::from_system().map_err(|_| StartError::Settings("the system gave no random seed")),
        };
        Ok(Self {
            routes: Routes::new(settings.tenant_auth_key.clone()),
            accounts,
            faults: Faults::new(randomness()?),
            log: CallLog::default(),
            randomness: randomness()?,
            http: deliveries::http_client().ok_or(StartError::Settings("no HTTP client could be made for webhooks"))?,
            deliverable: Notify::new(),
            changed: watch::Sender::new(()),
            base: OnceLock::new(),
            settings,
        })
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        self.settings.clock.now()
    }

    /// The hosted portal page.
    pub(crate) fn portal_page(&self) -> String {
        self.base.get().map(|base| format!("{base}portal")).unwrap_or_default()
    }

    /// Adds a lead as somebody working in the CRM would; its id.
    pub(crate) fn add_lead(&self, attributes: &[Attribute]) -> Result<String, Failure> {
        self.in_the_crm(|writer| {
            writer.create(&leads::check(&writer.account.tenant, &self.settings.switches, attributes)?)
        })
    }

    /// Changes a lead as somebody working in the CRM would.
    pub(crate) fn update_lead(&self, id: &str, attributes: &[Attribute]) -> Result<(), Failure> {
        self.in_the_crm(|writer| {
            writer.update(id, &leads::check(&writer.account.tenant, &self.settings.switches, attributes)?)
        })
    }

    /// Does `work` on the first account in the name of its first user; webhooks hear of it.
    pub(crate) fn in_the_crm<T>(&self, work: impl FnOnce(&Writer<'_>) -> Result<T, Failure>) -> Result<T, Failure> {
        let (account, now) = (&*self.accounts[0], self.now());
        let user = account.users().into_iter().next().ok_or_else(Failure::internal)?;
        let done =
            account.store.transaction(|db| work(&Writer { world: self, account, db, user: &user, now, raises: true }));
        self.report_change();
        done
    }

    /// Wakes the delivery of webhooks and whoever waits for a state of the emulator.
    pub(crate) fn report_change(&self) {
        self.deliverable.notify_one();
        self.changed.send_replace(());
    }

    /// The account that a user's keys belong to, and that user.
    pub(crate) fn by_keys(&self, access_key: &str, secret_key: &str) -> Option<(&Arc<Account>, User)> {
        self.accounts.iter().find_map(|account| {
            let users = account.users();
            let user = users.iter().find(|user| user.access_key == access_key && user.secret_key == secret_key)?;
            user.active.then(|| (account, user.clone()))
        })
    }
}

fn check(tenant: &Tenant, others: &[Arc<Account>]) -> Result<(), StartError> {
    let digits = tenant.short_code.len() == 5 && tenant.short_code.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || others.iter().any(|other| other.tenant.short_code == tenant.short_code) {
        return Err(StartError::Settings("each account needs a short code of five digits of its own"));
    }
    if !tenant.portals.iter().all(|portal| is_guid(&portal.id)) || !tenant.users.iter().all(|user| is_guid(&user.id)) {
        return Err(StartError::Settings("the ids of portals and users must be GUIDs"));
    }
    if !tenant.fields.iter().any(|field| field.unique) {
        return Err(StartError::Settings("at least one field must be unique, or no lead can be identified"));
    }
    Ok(())
}

impl Account {
    /// The users as they are now.
    pub(crate) fn users(&self) -> Vec<User> {
        self.users.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn change_users(&self, change: impl FnOnce(&mut Vec<User>)) {
        change(&mut self.users.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Counts one call of the account at the current time, unless its limit is spent.
    pub(crate) fn admit(&self, world: &World) -> bool {
        // The time is read under the lock, so that calls enter the window in their order.
        let mut window = lock(&self.window);
        window.admit(&world.settings.limit, world.now())
    }

    /// Makes public keys, registration tokens and tenant auto-login keys worthless.
    pub(crate) fn revoke_credentials(&self) -> rusqlite::Result<()> {
        let db = self.store.connection();
        [Kind::PublicKey, Kind::RegistrationToken, Kind::TenantAuthKey]
            .into_iter()
            .try_for_each(|kind| store::revoke(&db, kind))
    }

    pub(crate) fn opened(&self, at: OffsetDateTime) {
        lock(&self.openings).push(at);
    }

    pub(crate) fn openings(&self) -> Vec<OffsetDateTime> {
        lock(&self.openings).clone()
    }

    /// The portal of calls that name none.
    pub(crate) fn first_portal(&self) -> Option<String> {
        self.tenant.portals.first().map(|portal| portal.id.to_ascii_lowercase())
    }

    pub(crate) fn has_portal(&self, id: &str) -> bool {
        self.tenant.portals.iter().any(|portal| portal.id.eq_ignore_ascii_case(id))
    }
}

/// A call as it was answered. Holds nothing of what was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordedCall {
    /// When it arrived.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Which call it was; absent for an address that is none.
    pub call: Option<Call>,
    /// Status of the answer; absent while there is none, and after a connection was cut.
    pub status: Option<u16>,
    /// Whether it came to the wrong region's host.
    pub wrong_region: bool,
}

/// The calls that arrived, and the fullest window among them.
#[derive(Default)]
pub(crate) struct CallLog(Mutex<Log>);

#[derive(Default)]
struct Log {
    arrived: u64,
    kept: VecDeque<RecordedCall>,
    window: SlidingWindow,
    window_max: usize,
}

impl CallLog {
    /// Calls that are kept; older ones only count.
    const KEPT: usize = 100_000;

    /// Records an arrival and returns its number.
    pub(crate) fn arrival(&self, world: &World, call: Option<Call>, wrong_region: bool, window: Duration) -> u64 {
        let mut log = lock(&self.0);
        let now = world.now();
        let in_window = log.window.count(window, now);
        log.window_max = log.window_max.max(in_window);
        if log.kept.len() == Self::KEPT {
            log.kept.pop_front();
        }
        log.kept.push_back(RecordedCall { at: now, call, status: None, wrong_region });
        log.arrived += 1;
        world.changed.send_replace(());
        log.arrived
    }

    /// Records how the call of that number was answered.
    pub(crate) fn answer(&self, number: u64, status: u16) {
        let mut log = lock(&self.0);
        let first = log.arrived - log.kept.len() as u64 + 1;
        let place = number.checked_sub(first).and_then(|place| usize::try_from(place).ok());
        if let Some(call) = place.and_then(|place| log.kept.get_mut(place)) {
            call.status = Some(status);
        }
    }

    pub(crate) fn calls(&self) -> Vec<RecordedCall> {
        lock(&self.0).kept.iter().cloned().collect()
    }

    /// Calls since the start.
    pub(crate) fn total(&self) -> u64 {
        lock(&self.0).arrived
    }

    /// The most calls that any window held since the start.
    pub(crate) fn window_max(&self) -> usize {
        lock(&self.0).window_max
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
