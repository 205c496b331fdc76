//! Deploys the template to a MiniStack.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::ministack::MiniStack;
use crate::python;

const PROGRAM: &str = include_str!("../python/deploy.py");

/// The parts of a deployment. It has no `Debug`, because it holds secrets.
#[derive(Serialize)]
pub(crate) struct Deployment<'a> {
    /// The SAM template.
    pub(crate) template: PathBuf,
    /// The built binaries by their names in the template; none where `sam build` put them beside the template.
    pub(crate) binaries: Option<&'a BTreeMap<String, PathBuf>>,
    /// The template's parameters, where they differ from their defaults.
    pub(crate) parameters: BTreeMap<&'static str, String>,
    /// The value to store in each secret, by the output of the template that names the secret.
    pub(crate) secrets: BTreeMap<&'static str, String>,
    /// Properties that replace those of the template, by resource.
    pub(crate) properties: BTreeMap<&'static str, serde_json::Value>,
}

/// The result of a deployment.
#[derive(Debug, Deserialize)]
pub(crate) struct Deployed {
    /// The template's outputs.
    pub(crate) outputs: BTreeMap<String, String>,
    /// The functions' names on MiniStack by their names in the template.
    pub(crate) functions: BTreeMap<String, String>,
    /// The functions' log groups by the same names.
    pub(crate) logs: BTreeMap<String, String>,
    /// The HTTP API's id.
    pub(crate) api: String,
    /// The functions behind its routes.
    pub(crate) http: Vec<HttpFunction>,
}

/// A function behind the HTTP API.
#[derive(Debug, Deserialize)]
pub struct HttpFunction {
    /// Its built binary.
    pub binary: PathBuf,
    /// Its routes, such as `POST /applications`.
    pub routes: Vec<String>,
    /// Its environment as deployed, without what Lambda adds.
    pub settings: BTreeMap<String, String>,
    /// Its time-out.
    pub timeout_seconds: u64,
}

impl Deployment<'_> {
    /// Deploys to an empty MiniStack.
    ///
    /// # Errors
    /// When the template cannot be deployed. The error has MiniStack's reason.
    pub(crate) async fn deploy(&self, ministack: &MiniStack) -> anyhow::Result<Deployed> {
        #[derive(Serialize)]
        struct Request<'a> {
            endpoint: String,
            #[serde(flatten)]
            deployment: &'a Deployment<'a>,
        }
        let request = Request { endpoint: ministack.url(), deployment: self };
        let deployed = python::ask(ministack.python(), PROGRAM, &request).await;
        deployed.with_context(|| format!("{} cannot be deployed", self.template.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use axum::body::Body;
    use axum::http::{Request, StatusCode};

    use super::*;
    use crate::logs::Logs;
    use crate::steps::Steps;
    use crate::{http, workspace};

    /// A function that answers every event with its own name.
    const BOOTSTRAP: &str = r#"#!/usr/bin/env python3
import json, os, urllib.request
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(api + "next") as event:
        request_id, body = event.headers["Lambda-Runtime-Aws-Request-Id"], json.load(event)
    print(json.dumps({"level": "INFO", "queue": os.environ.get("INVITATIONS_QUEUE_URL"), "records": len(body.get("Records", []))}), flush=True)
    answer = {"statusCode": 202, "body": os.environ["AWS_LAMBDA_FUNCTION_NAME"], "batchItemFailures": []}
    urllib.request.urlopen(api + request_id + "/response", data=json.dumps(answer).encode()).close()
"#;

    #[tokio::test]
    async fn the_workspaces_template_runs_on_ministack() {
        let folder = tempfile::tempdir().unwrap();
        let bootstrap = folder.path().join("bootstrap");
        std::fs::write(&bootstrap, BOOTSTRAP).unwrap();
        std::fs::set_permissions(&bootstrap, std::fs::Permissions::from_mode(0o755)).unwrap();
        let functions = std::fs::read_dir(workspace().join("functions")).unwrap();
        let binaries: BTreeMap<String, PathBuf> = functions
            .map(|function| (function.unwrap().file_name().into_string().unwrap(), bootstrap.clone()))
            .collect();

        let ministack = MiniStack::start(None, &Steps::hidden()).await.unwrap();
        let deployment = Deployment {
            template: workspace().join("template.yaml"),
            binaries: Some(&binaries),
            parameters: BTreeMap::from([
                ("LeadSquaredApiUrl", "http://127.0.0.1:1".to_owned()),
                ("LeadSquaredPortalApiUrl", "http://127.0.0.1:1".to_owned()),
                ("PortalId", "00000000-0000-0000-0000-000000000000".to_owned()),
                ("PortalUrl", "http://127.0.0.1:1/portal".to_owned()),
                ("AllowedOrigins", "https://www.example.com,https://example.com".to_owned()),
            ]),
            secrets: BTreeMap::from([("KeysSecretArn", "{}".to_owned())]),
            properties: BTreeMap::from([("InvitationFunction", serde_json::json!({"Timeout": 11}))]),
        };
        let deployed = deployment.deploy(&ministack).await.unwrap();

        let ask = async |method: &str, path: &str, origin: &str| {
            let request = Request::builder()
                .method(method)
                .uri(format!("{}{path}", ministack.url()))
                .header("host", format!("{}.execute-api.localhost", deployed.api))
                .header("origin", origin);
            http::client().request(request.body(Body::empty()).unwrap()).await.unwrap()
        };
        let answer = ask("POST", "/applications", "https://example.com").await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        assert_eq!(answer.headers()["access-control-allow-origin"], "https://example.com");
        assert_eq!(ask("GET", "/applications", "https://example.com").await.status(), StatusCode::NOT_FOUND);
        let preflight = ask("OPTIONS", "/applications", "https://www.example.com").await;
        assert_eq!(preflight.headers()["access-control-allow-methods"], "POST");
        let headers = preflight.headers()["access-control-allow-headers"].to_str().unwrap().to_lowercase();
        // `*` is every header that a monitoring script adds, and never `authorization`.
        for header in ["*", "authorization", "content-type", "idempotency-key"] {
            assert!(headers.split(',').any(|allowed| allowed.trim() == header), "{header}: {headers}");
        }
        assert!(preflight.headers().get("access-control-allow-credentials").is_none(), "`*` needs requests without");
        assert_eq!(ask("OPTIONS", "/applications", "https://other.example").await.status(), StatusCode::FORBIDDEN);

        let logs = Logs::new(ministack.url(), deployed.functions, deployed.logs);
        let form = deployed.http.iter().find(|function| function.routes == ["POST /applications"]).unwrap();
        assert_eq!((&form.binary, form.timeout_seconds), (&bootstrap, 10));

        let log = logs.lines("ApplicationFormFunction").await.unwrap();
        let queue = &deployed.outputs["InvitationsQueueUrl"];
        assert_eq!(&form.settings["INVITATIONS_QUEUE_URL"], queue);
        assert!(log.iter().any(|line| line.contains(&format!("\"queue\": \"{queue}\""))), "{log:?}");
        assert_eq!(logs.errors("ApplicationFormFunction").await.unwrap(), Vec::<String>::new());
        assert_eq!(logs.lines("InvitationFunction").await.unwrap(), Vec::<String>::new(), "it never ran");
        assert!(logs.lines("NoSuchFunction").await.is_err());
    }

    #[tokio::test]
    async fn a_template_that_does_not_fit_the_binaries_is_refused_with_the_reason() {
        let ministack = MiniStack::start(None, &Steps::hidden()).await.unwrap();
        let template = workspace().join("template.yaml");
        let deployment = Deployment {
            template,
            binaries: Some(&BTreeMap::new()),
            parameters: BTreeMap::new(),
            secrets: BTreeMap::new(),
            properties: BTreeMap::new(),
        };
        let refusal = format!("{:#}", deployment.deploy(&ministack).await.unwrap_err());
        assert!(refusal.contains("ApplicationFormFunction: Metadata.BuildProperties.Binary"), "{refusal}");
    }
}
