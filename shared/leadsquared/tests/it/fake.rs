//! A server that plays LeadSquared's part: it keeps what it was sent and answers as it is told, badly where asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use url::Url;

/// One request as it came over the wire.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query, still encoded.
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(crate) fn query(&self) -> Vec<(String, String)> {
        let (_, query) = self.target.split_once('?').unwrap_or_default();
        url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }
}

/// How the server reacts to a request.
pub(crate) enum Reply {
    Answer(u16, String),
    /// Reads the request, then closes the connection.
    Cut,
    /// Sends half of a body, then closes the connection.
    Truncated(String),
    /// Reads the request and says nothing until the client gives up.
    Silence,
}

/// The server; it stops when dropped.
pub(crate) struct Fake {
    pub(crate) url: Url,
    seen: Arc<Mutex<Vec<Request>>>,
    stopped: Arc<AtomicBool>,
}

impl Fake {
    /// Starts on a free port. `react` is called once per request, possibly from several threads.
    pub(crate) fn start(react: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
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
    pub(crate) fn answering(path: &'static str, status: u16, body: &str) -> Self {
        let body = body.to_owned();
        Self::start(move |request| match credential(request) {
            _ if request.path() == path => Reply::Answer(status, body.clone()),
            Some(answer) => answer,
            None => Reply::Answer(404, String::new()),
        })
    }

    /// The requests so far, oldest first.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// How many requests of this path there were.
    pub(crate) fn count(&self, path: &str) -> usize {
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

/// The sample answers of the calls that obtain credentials.
pub(crate) fn credential(request: &Request) -> Option<Reply> {
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
