//! Starting, inspecting and stopping an emulator.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use leadsquared::schema_name;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use url::Url;

use crate::activities::{self, Activity};
use crate::automations::{self, Automation};
use crate::body::{Attribute, Text};
use crate::clock::Clock;
use crate::deliveries::{self, Delivery};
use crate::failure::Failure;
use crate::faults::Faults;
use crate::leads::{self, Lead};
use crate::mails::{self, Mail, TextMessage};
use crate::portal_users::{self, PortalUser};
use crate::server::{self, Host, Region};
use crate::settings::Settings;
use crate::store::{self, StoreError};
use crate::tenant::{Role, User};
use crate::webhooks::{self, Stored, Webhook};
use crate::world::{Account, RecordedCall, World};
use crate::{admin, hosted_page, passwords};

/// A running emulator; stops when it is dropped.
pub struct Emulator {
    world: Arc<World>,
    url: Url,
    portal_api_url: Url,
    other_region_url: Url,
    stop: watch::Sender<bool>,
    listeners: JoinSet<()>,
}

/// Why an emulator did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The port cannot be opened.
    #[error("could not open the port on 127.0.0.1; choose another one, or leave it out to get a free one")]
    Port(#[source] io::Error),
    /// The data folder cannot be created.
    #[error("could not create the data folder")]
    DataFolder(#[source] io::Error),
    /// An account's database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The settings contradict themselves.
    #[error("the settings cannot be used: {0}")]
    Settings(&'static str),
}

/// The database belongs to this process alone and its statements are constant: reading it fails only because of a bug.
const READS: &str = "the emulator can read its own database";

impl Emulator {
    /// Starts on two ports of 127.0.0.1: the host of the account's region and the host of another region. Starts on a
    /// third one when the portal API has a port of its own.
    ///
    /// # Errors
    /// When the port is in use, the data folder is not usable, or the settings contradict themselves.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let port = settings.port.unwrap_or(0);
        let world = Arc::new(World::new(settings)?);
        let right = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(StartError::Port)?;
        let wrong = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(StartError::Port)?;
        let portal = match world.settings.portal_port {
            Some(port) => Some(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(StartError::Port)?),
            None => None,
        };
        let (url, other_region_url) = (url_of(&right)?, url_of(&wrong)?);
        let portal_api_url = portal.as_ref().map_or_else(|| Ok(url.clone()), url_of)?;
        world.base.get_or_init(|| url.clone());
        let (stop, stopped) = watch::channel(false);
        let mut listeners = JoinSet::new();
        let own = hosted_page::router().merge(admin::router());
        let host = Host::first(&world);
        listeners.spawn(server::listen(right, server::calls(own, host, world.clone()), stopped.clone()));
        if let Some(portal) = portal {
            let host = Host { region: Region::Right, core: false, portal: true };
            listeners.spawn(server::listen(
                portal,
                server::calls(axum::Router::new(), host, world.clone()),
                stopped.clone(),
            ));
        }
        let host = Host { region: Region::Wrong, core: true, portal: true };
        let router = server::calls(axum::Router::new(), host, world.clone());
        listeners.spawn(server::listen(wrong, router, stopped.clone()));
        listeners.spawn(deliveries::run(world.clone(), stopped));
        Ok(Self { world, url, portal_api_url, other_region_url, stop, listeners })
    }

    /// Answers a request in this process as it would be answered at [`Emulator::url`], except that it cannot show a cut
    /// connection.
    pub async fn answer(&self, request: http::Request<Vec<u8>>) -> http::Response<Vec<u8>> {
        server::answer(self.world.clone(), Host::first(&self.world), request.map(Body::from)).await
    }

    /// The address of the core API, the hosted portal page and, unless it has a port of its own, the portal API.
    pub fn url(&self) -> Url {
        self.url.clone()
    }

    /// The address of the portal API: [`Emulator::url`], or its own port with [`Settings::portal_port`].
    pub fn portal_api_url(&self) -> Url {
        self.portal_api_url.clone()
    }

    /// The host of another region. It refuses every call except Authenticate a User and names the right host.
    pub fn other_region_url(&self) -> Url {
        self.other_region_url.clone()
    }

    /// Access key and secret key of an administrator; the access key contains a `$`, as real ones do.
    pub fn keys(&self) -> (String, String) {
        self.keys_of(Role::Administrator).unwrap_or_default()
    }

    /// Access key and secret key of a user with this role.
    pub fn keys_of(&self, role: Role) -> Option<(String, String)> {
        let user = self.account().users().into_iter().find(|user| user.active && user.role == role)?;
        Some((user.access_key, user.secret_key))
    }

    /// Every key and session that the first account has issued, and the keys of its users: the secrets that a test
    /// looks for in logs and stores.
    pub fn issued_keys(&self) -> Vec<String> {
        let mut keys = store::all_keys(&self.account().store.connection()).expect(READS);
        keys.extend(self.account().users().into_iter().flat_map(|user| [user.access_key, user.secret_key]));
        keys
    }

    /// GUID of the first portal.
    pub fn portal_id(&self) -> String {
        self.account().tenant.portals.first().map(|portal| portal.id.clone()).unwrap_or_default()
    }

    /// The hosted page that login links open.
    pub fn portal_page_url(&self) -> Url {
        let mut url = self.url();
        url.set_path("/portal");
        url
    }

    /// The admin page, which shows what arrived and sets faults. The JSON API is below it.
    pub fn admin_url(&self) -> Url {
        let mut url = self.url();
        url.set_path("/_admin");
        url
    }

    /// The emulator's clock.
    pub fn clock(&self) -> &Clock {
        &self.world.settings.clock
    }

    /// The fault switches.
    pub fn faults(&self) -> &Faults {
        &self.world.faults
    }

    /// Every lead, oldest first.
    pub fn leads(&self) -> Vec<Lead> {
        leads::all(&self.account().store.connection()).expect(READS)
    }

    /// The lead with this e-mail address.
    pub fn lead_by_email(&self, email: &str) -> Option<Lead> {
        let db = self.account().store.connection();
        let id = leads::with_value(&db, schema_name::EMAIL_ADDRESS, email).expect(READS)?;
        leads::by_id(&db, &id).expect(READS)
    }

    /// Every portal user, in the order of registration.
    pub fn portal_users(&self) -> Vec<PortalUser> {
        portal_users::all(&self.account().store.connection()).expect(READS)
    }

    /// Whether this is the lead's password at one of the portals. No call returns a password.
    pub async fn has_password(&self, lead_id: &str, password: &str) -> bool {
        for user in self.portal_users().into_iter().filter(|user| user.lead_id == lead_id) {
            let hash = {
                let db = self.account().store.connection();
                portal_users::password_hash(&db, lead_id, Some(&user.portal_id)).expect(READS)
            };
            if let Some(hash) = hash
                && passwords::matches(hash, password.to_owned()).await
            {
                return true;
            }
        }
        false
    }

    /// Every mail, oldest first.
    pub fn mails(&self) -> Vec<Mail> {
        self.mails_after(0)
    }

    /// The mails after the first `seen`, oldest first.
    pub fn mails_after(&self, seen: usize) -> Vec<Mail> {
        mails::after(&self.account().store.connection(), seen).expect(READS)
    }

    /// Every text message, oldest first.
    pub fn text_messages(&self) -> Vec<TextMessage> {
        mails::all_texts(&self.account().store.connection()).expect(READS)
    }

    /// A lead's activities, newest first.
    pub fn activities(&self, lead_id: &str) -> Vec<Activity> {
        activities::of_lead(&self.account().store.connection(), lead_id).expect(READS)
    }

    /// Every webhook, oldest first.
    pub fn webhooks(&self) -> Vec<Webhook> {
        let webhooks = webhooks::all(&self.account().store.connection()).expect(READS);
        webhooks.iter().map(Stored::shown).collect()
    }

    /// Every past and planned webhook delivery, oldest first.
    pub fn deliveries(&self) -> Vec<Delivery> {
        deliveries::all(&self.account().store.connection()).expect(READS)
    }

    /// The times of sign-ins to the hosted page by an auto-login link, oldest first. A restart forgets them.
    pub fn openings(&self) -> Vec<OffsetDateTime> {
        self.account().openings()
    }

    /// The calls that arrived, oldest first. The last 100,000 are kept.
    pub fn calls(&self) -> Vec<RecordedCall> {
        self.world.log.calls()
    }

    /// The largest number of calls that arrived in any window of the limit's length. Counts every request: refused
    /// calls, unknown paths, calls of all accounts and calls to the wrong region. No account can have received more.
    pub fn window_max(&self) -> usize {
        self.world.log.window_max()
    }

    /// Waits until `condition` holds. It is checked now, and again after each call that arrives or takes effect, each
    /// change made in the CRM, each attempt to deliver a webhook and each sign-in to the hosted page.
    pub async fn reached(&self, condition: impl Fn(&Self) -> bool) {
        let mut changed = self.world.changed.subscribe();
        while !condition(self) {
            // The sender lives in `self`: `changed` cannot report that it is gone.
            let _ = changed.changed().await;
        }
    }

    /// Adds a lead as a user of the CRM does; returns its id.
    ///
    /// # Errors
    /// LeadSquared's refusal, as `ExceptionType: ExceptionMessage`.
    pub fn add_lead(&self, fields: &[(&str, &str)]) -> Result<String, String> {
        refusal_in_words(self.world.add_lead(&attributes(fields)))
    }

    /// Changes fields of a lead as a user of the CRM does, which raises webhooks.
    ///
    /// # Errors
    /// LeadSquared's refusal, as `ExceptionType: ExceptionMessage`.
    pub fn update_lead(&self, lead_id: &str, fields: &[(&str, &str)]) -> Result<(), String> {
        refusal_in_words(self.world.update_lead(lead_id, &attributes(fields)))
    }

    /// Changes fields of an activity as a user of the CRM does, which raises webhooks.
    ///
    /// # Errors
    /// LeadSquared's refusal, as `ExceptionType: ExceptionMessage`.
    pub fn update_activity(&self, activity_id: &str, fields: &[(&str, &str)]) -> Result<(), String> {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        refusal_in_words(self.world.in_the_crm(|writer| activities::update(writer, activity_id, fields)))
    }

    /// Creates an automation with a webhook action as an administrator does by hand; returns its id.
    ///
    /// # Errors
    /// LeadSquared's refusal, as `ExceptionType: ExceptionMessage`.
    pub fn add_automation(&self, automation: &Automation) -> Result<String, String> {
        refusal_in_words(self.world.in_the_crm(|writer| automations::add(writer, automation)))
    }

    /// Enables or disables a webhook as an administrator does by hand. There is no other way to enable one that
    /// LeadSquared disabled. Returns whether a webhook has this id.
    pub fn switch_webhook(&self, webhook_id: &str, enabled: bool) -> bool {
        let db = self.account().store.connection();
        webhooks::switch(&db, webhook_id, enabled, self.world.now()).expect(READS)
    }

    /// Changes the users: their keys, roles or whether they are active. A restart forgets the changes.
    pub fn change_users(&self, change: impl FnOnce(&mut Vec<User>)) {
        self.account().change_users(change);
    }

    /// Revokes every public key, registration token and tenant auto-login key. The calls for them then issue new ones.
    pub fn revoke_credentials(&self) {
        self.account().revoke_credentials().expect(READS);
    }

    /// Stops listening. Returns when the current requests are answered, or after two seconds.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        let finished = async { while self.listeners.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_secs(2), finished).await;
    }

    fn account(&self) -> &Account {
        &self.world.accounts[0]
    }
}

fn attributes(fields: &[(&str, &str)]) -> Vec<Attribute> {
    let attribute =
        |(name, value): &(&str, &str)| Attribute { name: (*name).to_owned(), value: Text(Some((*value).to_owned())) };
    fields.iter().map(attribute).collect()
}

fn refusal_in_words<T>(done: Result<T, Failure>) -> Result<T, String> {
    done.map_err(|failure| format!("{}: {}", failure.exception_type, failure.message))
}

/// Shows the address and no key.
impl std::fmt::Debug for Emulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Emulator").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

fn url_of(listener: &TcpListener) -> Result<Url, StartError> {
    let address = listener.local_addr().map_err(StartError::Port)?;
    Url::parse(&format!("http://{address}/")).map_err(|_| StartError::Settings("the listening address is not a URL"))
}
