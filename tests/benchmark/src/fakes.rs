//! The services that a function calls, emulated within this process.

pub(crate) mod authority;
mod aws;
pub(crate) mod calls;
mod crm;
pub(crate) mod server;
mod update;

use std::sync::{Arc, Mutex, PoisonError};

use self::authority::Authority;
use self::aws::Aws;
use self::calls::Calls;
use self::crm::Crm;
use self::server::{Handler, Server};

/// The endpoints of one function under test. Each service has its own address, so that each needs its own connection.
pub(crate) struct Endpoints {
    calls: Arc<Mutex<Calls>>,
    dynamodb: Server,
    sqs: Server,
    secrets: Server,
    api: Server,
    portal_api: Server,
    authority_file: Option<String>,
}

impl Endpoints {
    /// Starts the endpoints; with an authority, over TLS.
    pub(crate) async fn start(authority: Option<&Authority>) -> anyhow::Result<Self> {
        let calls = Arc::new(Mutex::new(Calls::default()));
        let (aws, crm) = (Arc::new(Aws::default()), Arc::new(Crm::documented()?));
        let of_aws = || -> Handler {
            let (aws, calls) = (Arc::clone(&aws), Arc::clone(&calls));
            Arc::new(move |parts, body| aws.answer(&calls, parts, body))
        };
        let of_crm = || -> Handler {
            let (crm, calls) = (Arc::clone(&crm), Arc::clone(&calls));
            Arc::new(move |parts, _| crm.answer(&calls, parts))
        };
        Ok(Self {
            dynamodb: Server::start(authority, of_aws()).await?,
            sqs: Server::start(authority, of_aws()).await?,
            secrets: Server::start(authority, of_aws()).await?,
            api: Server::start(authority, of_crm()).await?,
            portal_api: Server::start(authority, of_crm()).await?,
            authority_file: authority.map(|authority| authority.file().display().to_string()),
            calls,
        })
    }

    /// The variables by which the functions, boto3, httpx and Node find the services and trust them.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("AWS_ENDPOINT_URL", self.dynamodb.url.clone()),
            ("AWS_ENDPOINT_URL_SQS", self.sqs.url.clone()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", self.secrets.url.clone()),
            ("INVITATIONS_QUEUE_URL", format!("{}/123456789012/invitations.fifo", self.sqs.url)),
            ("DEAD_LETTERS_QUEUE_URL", format!("{}/123456789012/dead-letters.fifo", self.sqs.url)),
            ("LEADSQUARED_API_URL", self.api.url.clone()),
            ("LEADSQUARED_PORTAL_API_URL", self.portal_api.url.clone()),
        ];
        if let Some(file) = &self.authority_file {
            let names = ["AWS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"];
            variables.extend(names.map(|name| (name, file.clone())));
        }
        variables
    }

    /// The calls since the last time.
    pub(crate) fn take_calls(&self) -> Calls {
        std::mem::take(&mut self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes this number of answers of the portal late.
    pub(crate) fn delay_portal(&self, answers: usize) {
        self.portal_api.delay(answers);
    }

    /// The number of connections so far, to all services.
    pub(crate) fn connections(&self) -> usize {
        [&self.dynamodb, &self.sqs, &self.secrets, &self.api, &self.portal_api].map(Server::connections).iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use leadsquared::{Client, Keys, Options};
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use super::*;
    use crate::artifacts::workspace;

    fn root(authority: &Authority) -> Vec<u8> {
        CertificateDer::from_pem_file(authority.file()).unwrap().to_vec()
    }

    async fn is_reached(endpoints: &Endpoints, further_roots: Vec<Vec<u8>>) -> bool {
        let mut options = Options::new(
            endpoints.api.url.parse().unwrap(),
            endpoints.portal_api.url.parse().unwrap(),
            "22222222-2222-4222-8222-222222222222".parse().unwrap(),
        );
        options.repeats = 0;
        options.further_roots = further_roots;
        let client = Client::new(options, Keys { access_key: "u".into(), secret_key: "s".into() }).unwrap();
        client.registration_token().await.is_ok()
    }

    #[tokio::test]
    async fn the_client_trusts_an_authority_only_if_the_program_names_it() {
        let authority = Authority::new().unwrap();
        let endpoints = Endpoints::start(Some(&authority)).await.unwrap();
        assert!(!is_reached(&endpoints, Vec::new()).await);
        assert!(!is_reached(&endpoints, vec![root(&Authority::new().unwrap())]).await);
        assert!(is_reached(&endpoints, vec![root(&authority)]).await);
        assert_eq!(endpoints.take_calls().leadsquared, [("RegistrationToken".to_owned(), 1)].into());
    }

    #[test]
    fn no_function_adds_roots_to_those_that_are_compiled_in() {
        let mut sources = Vec::new();
        for folder in ["functions", "shared"] {
            find(&workspace().join(folder), &mut sources);
        }
        assert!(sources.len() > 100, "the sources are found");
        let client = workspace().join("shared/leadsquared/src");
        sources.retain(|(path, text)| !path.starts_with(&client) && text.contains("further_roots"));
        assert_eq!(sources, []);
    }

    /// The Rust files below a folder, with their texts.
    fn find(folder: &Path, sources: &mut Vec<(std::path::PathBuf, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                find(&path, sources);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                sources.push((path, text));
            }
        }
    }
}
