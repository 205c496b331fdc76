#![doc = include_str!("../README.md")]

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path as UrlPath, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::TcpListener,
    process::{Child, Command},
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};

/// The longest time from the start of a process to its first request for an event.
const INIT_LIMIT: Duration = Duration::from_secs(30);

/// The reason why an event has no answer.
#[derive(Debug)]
pub enum FunctionError {
    /// The function reported an error for this event.
    Reported {
        /// Lambda's `errorType`.
        error_type: String,
        /// Its `errorMessage`.
        message: String,
    },
    /// The process ended before it asked for an event.
    Init {
        /// Its exit status, its report of the failure, and its output.
        message: String,
    },
    /// The process ended while it held this event.
    Exited(ExitStatus),
    /// The function has no process that could take the event.
    NoProcess,
    /// The process did not answer by the deadline and was killed, as Lambda does.
    TimedOut,
    /// The answer is not JSON.
    NotJson,
}

/// A built function: one or more processes that take events from one queue. Dropping it kills its processes.
pub struct Function {
    binary: PathBuf,
    environment: Vec<(String, String)>,
    events: mpsc::UnboundedSender<Invocation>,
    queue: Arc<Queue>,
    processes: Vec<Process>,
    printed: Printed,
}

impl Function {
    /// Starts one process and waits for it to ask for its first event.
    ///
    /// The process sees Lambda's own variables and `environment`, and nothing of the caller's environment.
    pub async fn start(binary: &Path, environment: Vec<(String, String)>) -> Result<Self, FunctionError> {
        let (events, queue) = mpsc::unbounded_channel();
        let mut function = Self {
            binary: binary.to_owned(),
            environment,
            events,
            queue: Arc::new(tokio::sync::Mutex::new(queue)),
            processes: Vec::new(),
            printed: Printed::default(),
        };
        function.add_process().await?;
        Ok(function)
    }

    /// Starts one more process that takes events from the same queue.
    pub async fn add_process(&mut self) -> Result<(), FunctionError> {
        let process =
            Process::start(&self.binary, &self.environment, Arc::clone(&self.queue), self.printed.clone()).await?;
        self.processes.push(process);
        Ok(())
    }

    /// Gives the function an event and waits for the answer.
    ///
    /// `timeout` starts when a process takes the event. The process sees its end as the deadline.
    pub async fn invoke(&self, event: &Value, timeout: Duration) -> Result<Value, FunctionError> {
        self.invoke_bytes(Bytes::from(event.to_string()), timeout).await
    }

    /// Like [`Self::invoke`], for an event that may not be JSON.
    pub async fn invoke_bytes(&self, event: Bytes, timeout: Duration) -> Result<Value, FunctionError> {
        let (answer, answered) = oneshot::channel();
        let invocation = Invocation { id: request_id(), event, timeout, answer };
        self.events.send(invocation).expect("the queue lives as long as the function");
        tokio::select! {
            biased;
            answer = answered => match answer.expect("an invocation is answered before it is dropped") {
                Ok(body) => serde_json::from_slice(&body).map_err(|_| FunctionError::NotJson),
                Err(error) => Err(error),
            },
            () = self.all_gone() => Err(FunctionError::NoProcess),
        }
    }

    /// Kills every process as `kill -9` does, and waits until they have ended. The events that they held fail with
    /// [`FunctionError::Exited`].
    pub async fn kill(&self) {
        for process in &self.processes {
            process.api.kill();
        }
        self.all_gone().await;
    }

    /// Waits until every process has ended by itself.
    pub async fn ended(&self) {
        self.all_gone().await;
    }

    /// Kills every process; returns everything that they wrote to standard output and standard error.
    pub async fn stop(mut self) -> String {
        self.kill().await;
        for process in &mut self.processes {
            process.all_printed().await;
        }
        self.printed.text()
    }

    /// The operating system's ids of its processes, those that have ended included.
    pub fn process_ids(&self) -> Vec<u32> {
        self.processes.iter().map(|process| process.id).collect()
    }

    async fn all_gone(&self) {
        for process in &self.processes {
            process.exited().await;
        }
    }
}

/// An event, and the channel for its answer.
struct Invocation {
    id: String,
    event: Bytes,
    timeout: Duration,
    answer: oneshot::Sender<Result<Bytes, FunctionError>>,
}

type Queue = tokio::sync::Mutex<mpsc::UnboundedReceiver<Invocation>>;

/// The output of all processes.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl Printed {
    async fn keep(self, mut stream: impl AsyncRead + Unpin) {
        let mut chunk = vec![0; 8192];
        while let Ok(length @ 1..) = stream.read(&mut chunk).await {
            lock(&self.0).extend_from_slice(&chunk[..length]);
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&lock(&self.0)).into_owned()
    }
}

/// One running `bootstrap` and its listener.
struct Process {
    id: u32,
    api: Arc<ProcessApi>,
    exit: watch::Receiver<Option<ExitStatus>>,
    /// The readers of its output, which end when the process does.
    tasks: JoinSet<()>,
    /// The listener, and the supervisor that owns the child. Dropping them closes the listener and kills the child.
    _supervision: JoinSet<()>,
}

impl Process {
    async fn start(
        binary: &Path,
        environment: &[(String, String)],
        queue: Arc<Queue>,
        printed: Printed,
    ) -> Result<Self, FunctionError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let (ready, mut is_ready) = watch::channel(false);
        let (kill, killed) = watch::channel(false);
        let api = Arc::new(ProcessApi {
            queue,
            ready,
            kill,
            held: Mutex::default(),
            closed: watch::Sender::default(),
            init_error: Mutex::default(),
        });

        let mut child = Command::new(binary)
            .env_clear()
            .envs([
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
                ("AWS_LAMBDA_FUNCTION_NAME", "under-test"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
                ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
                ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
                ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/under-test"),
                ("AWS_LAMBDA_LOG_STREAM_NAME", "2026/01/02/[$LATEST]0"),
                ("AWS_LAMBDA_RUNTIME_API", address.to_string().as_str()),
            ])
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", binary.display()));
        let id = child.id().expect("a child that was not waited for has an id");
        let mut tasks = JoinSet::new();
        tasks.spawn(printed.clone().keep(child.stdout.take().expect("standard output is piped")));
        tasks.spawn(printed.clone().keep(child.stderr.take().expect("standard error is piped")));

        let (exited, exit) = watch::channel(None);
        let mut supervision = JoinSet::new();
        supervision.spawn(supervise(child, killed, Arc::clone(&api), exited));
        let service = router(Arc::clone(&api));
        supervision.spawn(async move {
            axum::serve(listener, service).await.expect("a listener on loopback keeps working");
        });

        let mut process = Self { id, api, exit, tasks, _supervision: supervision };
        let asks_for_events = async {
            is_ready.wait_for(|ready| *ready).await.expect("the API lives as long as the process");
        };
        tokio::select! {
            biased;
            () = asks_for_events => Ok(process),
            status = process.exited() => {
                process.all_printed().await;
                let reported = lock(&process.api.init_error).take().unwrap_or_default();
                Err(FunctionError::Init { message: format!("{status} {reported} {}", printed.text()) })
            }
            () = tokio::time::sleep(INIT_LIMIT) => Err(FunctionError::TimedOut),
        }
    }

    /// Waits until the complete output of an ended process is read.
    async fn all_printed(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    async fn exited(&self) -> ExitStatus {
        let mut exit = self.exit.clone();
        let status =
            exit.wait_for(Option::is_some).await.expect("the supervisor reports the exit status before it ends");
        status.expect("the exit status is known")
    }
}

/// Waits for the end of a process, which it kills on request. Then fails the events that the process held.
async fn supervise(
    mut child: Child,
    mut killed: watch::Receiver<bool>,
    api: Arc<ProcessApi>,
    exited: watch::Sender<Option<ExitStatus>>,
) {
    let kill_request = async {
        // An error means that the function was dropped, which also ends the process.
        let _ = killed.wait_for(|killed| *killed).await;
    };
    let status = tokio::select! {
        status = child.wait() => status,
        () = kill_request => {
            // The process may have ended in the meantime.
            let _ = child.start_kill();
            child.wait().await
        }
    };
    let status = status.expect("a child can be waited for");
    api.close(status);
    exited.send_replace(Some(status));
}

/// The X-Ray trace header of every invocation.
pub const TRACE: &str = "Root=1-5e1b4151-5ac6c58f5b5dde7f5d9b3a5f;Parent=53995c3f42cd8ad8;Sampled=1";

/// The Runtime API of one process, and the events that the process holds.
struct ProcessApi {
    queue: Arc<Queue>,
    ready: watch::Sender<bool>,
    kill: watch::Sender<bool>,
    held: Mutex<HashMap<String, oneshot::Sender<Result<Bytes, FunctionError>>>>,
    closed: watch::Sender<Option<ExitStatus>>,
    init_error: Mutex<Option<String>>,
}

impl ProcessApi {
    fn kill(&self) {
        self.kill.send_replace(true);
    }

    /// Ends an invocation. Returns false when the process does not hold it.
    fn settle(&self, id: &str, end: Result<Bytes, FunctionError>) -> bool {
        let Some(answer) = lock(&self.held).remove(id) else { return false };
        // Sending fails when the test no longer waits for the answer.
        let _ = answer.send(end);
        true
    }

    /// Stops taking events, and fails the events that the process holds.
    fn close(&self, status: ExitStatus) {
        self.closed.send_replace(Some(status));
        for (_, answer) in lock(&self.held).drain() {
            let _ = answer.send(Err(FunctionError::Exited(status)));
        }
    }

    /// The next event whose caller still waits; `None` after the end of the process or the function.
    async fn take(&self) -> Option<Invocation> {
        let mut closed = self.closed.subscribe();
        let next = async {
            let mut queue = self.queue.lock().await;
            loop {
                let invocation = queue.recv().await?;
                if !invocation.answer.is_closed() {
                    return Some(invocation);
                }
            }
        };
        tokio::select! {
            biased;
            _ = closed.wait_for(Option::is_some) => None,
            invocation = next => invocation,
        }
    }

    fn hold(&self, id: &str, answer: oneshot::Sender<Result<Bytes, FunctionError>>) {
        lock(&self.held).insert(id.to_owned(), answer);
        // When the process ended after it took the event, `close` has not seen this event.
        let closed = *self.closed.borrow();
        if let Some(status) = closed {
            self.settle(id, Err(FunctionError::Exited(status)));
        }
    }
}

fn router(api: Arc<ProcessApi>) -> Router {
    Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
        .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
        .route("/2018-06-01/runtime/init/error", post(init_error))
        .layer(DefaultBodyLimit::disable())
        .with_state(api)
}

async fn next(State(api): State<Arc<ProcessApi>>) -> Response {
    api.ready.send_replace(true);
    let Some(Invocation { id, event, timeout, answer }) = api.take().await else {
        return StatusCode::GONE.into_response();
    };
    api.hold(&id, answer);
    tokio::spawn(end_at_deadline(Arc::clone(&api), id.clone(), timeout));
    let deadline = SystemTime::now() + timeout;
    let deadline_ms = deadline.duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_millis();
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", id),
        ("lambda-runtime-deadline-ms", deadline_ms.to_string()),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:000000000000:function:under-test".to_owned()),
        ("lambda-runtime-trace-id", TRACE.to_owned()),
    ];
    (headers, event).into_response()
}

async fn end_at_deadline(api: Arc<ProcessApi>, id: String, timeout: Duration) {
    tokio::time::sleep(timeout).await;
    if api.settle(&id, Err(FunctionError::TimedOut)) {
        api.kill();
    }
}

async fn response(State(api): State<Arc<ProcessApi>>, UrlPath(id): UrlPath<String>, body: Bytes) -> StatusCode {
    accepted(api.settle(&id, Ok(body)))
}

async fn error(State(api): State<Arc<ProcessApi>>, UrlPath(id): UrlPath<String>, body: Bytes) -> StatusCode {
    let (error_type, message) = error_report(&body);
    accepted(api.settle(&id, Err(FunctionError::Reported { error_type, message })))
}

async fn init_error(State(api): State<Arc<ProcessApi>>, body: Bytes) -> StatusCode {
    let (error_type, message) = error_report(&body);
    *lock(&api.init_error) = Some(format!("{error_type}: {message}"));
    accepted(true)
}

fn accepted(known: bool) -> StatusCode {
    if known { StatusCode::ACCEPTED } else { StatusCode::BAD_REQUEST }
}

fn error_report(body: &[u8]) -> (String, String) {
    let report: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| report[name].as_str().unwrap_or_default().to_owned();
    (text("errorType"), text("errorMessage"))
}

fn request_id() -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    format!("00000000-0000-4000-8000-{:012x}", LAST.fetch_add(1, Ordering::Relaxed))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
