#![doc = include_str!("../../../rustdoc-links.md")]
#![doc = include_str!("../README.md")]
#![expect(clippy::unwrap_used, reason = "a server that cannot be set up fails the test that asked for it")]

use std::fs;

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use leadsquared::{Client, Keys, Options};
use serde_json::Value;
use url::Url;

/// One request as it came over the wire.
#[derive(Clone)]
pub struct Request {
    /// `GET` or `POST`.
    pub method: String,
    /// Path and query, still encoded.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, as text.
    pub body: String,
}

impl Request {
    /// The path, without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The query, decoded.
    pub fn query(&self) -> Vec<(String, String)> {
        let (_, query) = self.target.split_once('?').unwrap_or_default();
        url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }

    /// A header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }
}

/// How the server reacts to a request.
pub enum Reply {
    /// Answers with this status and body.
    Answer(u16, String),
    /// Reads the request, then closes the connection.
    Cut,
    /// Sends half of a body, then closes the connection.
    Truncated(String),
    /// Reads the request and says nothing until the client gives up.
    Silence,
}

/// The server; it stops when dropped.
pub struct Fake {
    /// Its address; it stands in for both of LeadSquared's hosts.
    pub url: Url,
    seen: Arc<Mutex<Vec<Request>>>,
    stopped: Arc<AtomicBool>,
}

impl Fake {
    /// Starts on a free port. `react` is called once per request, possibly from several threads.
    pub fn start(react: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let fake = Self { url, seen: Arc::default(), stopped: Arc::default() };
        let (seen, stopped, react) = (fake.seen.clone(), fake.stopped.clone(), Arc::new(react));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (seen, react) = (seen.clone(), react.clone());
                thread::spawn(move || serve(&stream.unwrap(), &seen, &*react));
            }
        });
        fake
    }

    /// Answers every request of `path` alike, and the calls that obtain credentials with samples.
    pub fn answering(path: &'static str, status: u16, body: &str) -> Self {
        let body = body.to_owned();
        Self::start(move |request| match credential(request) {
            _ if request.path() == path => Reply::Answer(status, body.clone()),
            Some(answer) => answer,
            None => Reply::Answer(404, String::new()),
        })
    }

    /// Answers each call with the first success in its file in `contract/`.
    pub fn documented() -> Self {
        let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contract");
        let mut files: Vec<_> = fs::read_dir(contract).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
        files.sort();
        let exchanges: Vec<Value> =
            files.iter().map(|file| serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()).collect();
        Self::start(move |request| {
            let is_of_request = |exchange: &&Value| {
                exchange["request"]["method"] == request.method && exchange["request"]["path"] == request.path()
            };
            let answers = exchanges.iter().find(is_of_request).and_then(|exchange| exchange["answers"].as_array());
            match answers.into_iter().flatten().find(|answer| answer["outcome"] == "Ok") {
                Some(answer) => Reply::Answer(200, answer["body"].to_string()),
                None => Reply::Answer(404, String::new()),
            }
        })
    }

    /// The requests so far, oldest first.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// How many requests of this path there were.
    pub fn count(&self, path: &str) -> usize {
        self.seen().iter().filter(|request| request.path() == path).count()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the listener, so that it sees that it has to stop.
        let _ = TcpStream::connect(self.url.socket_addrs(|| None).unwrap()[0]);
    }
}

/// Runs an example with a client of [`Fake::documented`].
///
/// # Panics
/// When the example fails.
pub fn run(example: impl AsyncFnOnce(Client) -> Result<(), Box<dyn Error>>) {
    let fake = Fake::documented();
    let portal_id = "22222222-2222-4222-8222-222222222222".parse().unwrap();
    let keys = Keys { access_key: "u$r0123456789abcdef".into(), secret_key: "s3cret0123456789abcdef".into() };
    let client = Client::new(Options::new(fake.url.clone(), fake.url.clone(), portal_id), keys).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(example(client)).unwrap();
}

/// The sample answers of the calls that obtain credentials.
pub fn credential(request: &Request) -> Option<Reply> {
    let body = match request.path() {
        "/api/Access/PublicToken" => r#"{"PublicAuthKey":"cHVibGlj+key/A=="}"#,
        "/api/Access/GetRegisterToken" => r#""registration-token-MX12345""#,
        "/api/AutoLogin/GenerateTenantAuthKey" => r#""tenant-key-MX12345""#,
        _ => return None,
    };
    Some(Reply::Answer(200, body.to_owned()))
}

fn serve(stream: &TcpStream, seen: &Mutex<Vec<Request>>, react: &dyn Fn(&Request) -> Reply) {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut words = lines[0].split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let headers: Vec<(String, String)> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length =
        headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, length)| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let request = Request { method, target, headers, body: String::from_utf8(body).unwrap() };
    seen.lock().unwrap().push(request.clone());

    let mut writer = stream;
    let head = |status: u16, length: usize| {
        let place = if (300..400).contains(&status) { "location: /elsewhere\r\n" } else { "" };
        format!(
            "HTTP/1.1 {status} Any\r\n{place}content-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        )
    };
    match react(&request) {
        Reply::Answer(status, body) => {
            let _ = writer.write_all(format!("{}{body}", head(status, body.len())).as_bytes());
        }
        Reply::Cut => {}
        Reply::Truncated(body) => {
            let _ = writer.write_all(format!("{}{}", head(200, body.len()), &body[..body.len() / 2]).as_bytes());
        }
        Reply::Silence => {
            let _ = reader.read(&mut [0]);
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}
