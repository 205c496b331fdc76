//! Counting attempts: each takes places of its person and its network before LeadSquared is asked, and gives them back
//! if it turns out to be no guess.

use leadsquared::LeadId;
use ledger::Owner;

use crate::answers::RequestRefusal;
use crate::cost::Step;
use crate::limits::{self, AttemptKind, AttemptPlaces, CountedPerson, LimitReached};
use crate::service::{AccountRequest, PortalAccount};
use crate::upstream::CallFailure;

impl PortalAccount {
    /// Takes places for an attempt on a person's account.
    pub(crate) async fn admit(
        &self,
        request: &AccountRequest<'_>,
        attempt: AttemptKind,
        person: &str,
        owner: Option<&Owner>,
    ) -> Result<AttemptPlaces, RequestRefusal> {
        match self.take_places(request, attempt, CountedPerson { text: person, owner }).await {
            Ok(places) => Ok(places),
            Err(LimitReached { retry_after, is_shared }) => {
                if is_shared {
                    // As late as an attempt that LeadSquared was asked about: the time must not show whether the
                    // person signed in from this network.
                    self.wait_for_floor(request).await;
                }
                Err(RequestRefusal::TooOften { retry_after })
            }
        }
    }

    /// The same for an attempt that ends with a text or a mail to the person. None: a limit shared with strangers is
    /// full, nothing must be sent, and the answer must not show it, because it would show whether the person signed in
    /// from this network.
    pub(crate) async fn admit_message(
        &self,
        request: &AccountRequest<'_>,
        attempt: AttemptKind,
        person: &str,
        owner: Option<&Owner>,
    ) -> Result<Option<AttemptPlaces>, RequestRefusal> {
        match self.take_places(request, attempt, CountedPerson { text: person, owner }).await {
            Ok(mut places) => {
                places.limit_reached = None;
                Ok(Some(places))
            }
            Err(LimitReached { is_shared: true, .. }) => Ok(None),
            Err(LimitReached { retry_after, .. }) => Err(RequestRefusal::TooOften { retry_after }),
        }
    }

    /// Takes places until a limit is full. A limit that strangers on other networks can fill does not stop a person on
    /// a network they have signed in from.
    async fn take_places(
        &self,
        request: &AccountRequest<'_>,
        attempt: AttemptKind,
        person: CountedPerson<'_>,
    ) -> Result<AttemptPlaces, LimitReached> {
        let (network, per_address) = (request.network.as_ref(), self.config.attempts_per_address.get());
        let mut places = limits::admit(&self.ledger, attempt, person, network, per_address, request.now).await;
        match places.limit_reached.take() {
            None => Ok(places),
            Some(full) if full.is_shared && self.is_known_network(request, person.text).await => {
                places.limit_reached = Some(full);
                Ok(places)
            }
            Some(full) => {
                self.give_back(request, &places).await;
                Err(full)
            }
        }
    }

    /// Charges a step's calls to the network. If its share is used up, the attempt's places are given back.
    pub(crate) async fn charge(
        &self,
        request: &AccountRequest<'_>,
        places: &AttemptPlaces,
        step: Step,
    ) -> Result<(), RequestRefusal> {
        let charged = self.charge_network(request, step).await;
        if charged.is_err() {
            self.give_back(request, places).await;
        }
        charged
    }

    /// Charges a step's calls to the network's share of a minute and of a day. It applies on known networks too: an
    /// exception would show who has signed in from where.
    pub(crate) async fn charge_network(&self, request: &AccountRequest<'_>, step: Step) -> Result<(), RequestRefusal> {
        let (network, calls) = (request.network.as_ref(), step.calls());
        let mut admitted = self.config.network_share().admit(&self.ledger, network, calls, request.now).await;
        if let (Ok(()), Some(most)) = (admitted, self.config.network_day()) {
            match self.ledger.take_calls(network, calls, most, request.now).await {
                Ok(true) => {}
                Ok(false) => admitted = Err(limits::RETRY_AFTER_DAY_LIMIT),
                Err(error) => tracing::warn!(
                    error = %error,
                    "a network's calls of the day cannot be counted: its request is admitted uncounted; no action \
                     needed unless this lasts"
                ),
            }
        }
        admitted.map_err(|retry_after| RequestRefusal::TooOften { retry_after })
    }

    /// Whether the person signed in from this network within the last 30 days.
    async fn is_known_network(&self, request: &AccountRequest<'_>, person: &str) -> bool {
        let Some(network) = &request.network else { return false };
        self.ledger.knows_network(person, network, request.now).await.unwrap_or_else(|error| {
            tracing::warn!(
                error = %error,
                "it cannot be read whether the person signed in from this network: it counts as unknown; no action \
                 needed unless this lasts"
            );
            false
        })
    }

    pub(crate) async fn remember_network(&self, request: &AccountRequest<'_>, person: &str, lead: &LeadId) {
        let Some(network) = &request.network else { return };
        if let Err(error) = self.ledger.remember_network(person, network, lead, request.now).await {
            tracing::warn!(
                error = %error,
                "network not remembered: strangers could use up this person's attempts there; no action needed unless \
                 this lasts"
            );
        }
    }

    pub(crate) async fn give_back(&self, request: &AccountRequest<'_>, places: &AttemptPlaces) {
        self.in_time(request, limits::give_back(&self.ledger, places)).await;
    }

    /// The answer to a failure on a route that answers alike for known and unknown people: an error only if the failure
    /// is certainly not about the person.
    pub(crate) async fn conceal(
        &self,
        request: &AccountRequest<'_>,
        places: &AttemptPlaces,
        failure: &CallFailure,
    ) -> Result<(), RequestRefusal> {
        if failure.is_about_the_person() || failure.may_have_taken_effect() {
            return Ok(());
        }
        self.give_back(request, places).await;
        Err(failure.unavailable())
    }
}
