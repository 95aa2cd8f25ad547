//! What a server or the network said, in the words of the store, with what to do about it.

use std::error::Error as StdError;

use object_store::client::{HttpError, HttpErrorKind};

use super::Site;
use crate::error::{Error, ErrorKind, Result};
use crate::store::Protocol;

/// The library's error.
pub(super) type Failure = object_store::Error;

/// What a failed request tells beyond its own text.
#[derive(Debug, Default)]
struct Facts {
    /// HTTP status.
    status: Option<u16>,
    /// The server's own word (`NoSuchBucket`).
    code: String,
    /// The way in which the connection failed.
    network: Option<HttpErrorKind>,
    /// All messages of the chain.
    text: String,
}

impl Facts {
    fn of(failure: &Failure) -> Facts {
        let mut facts = Facts {
            text: failure.to_string(),
            ..Facts::default()
        };
        let mut link: Option<&(dyn StdError + 'static)> = Some(failure);
        while let Some(error) = link {
            if let Some(http) = error.downcast_ref::<HttpError>() {
                facts.network = Some(http.kind());
            }
            let said = error.to_string();
            if !facts.text.contains(&said) {
                facts.text.push_str(": ");
                facts.text.push_str(&said);
            }
            link = error.source();
        }
        // The library keeps its request errors to itself; their text is all there is.
        facts.status =
            after(&facts.text, "status code: ").and_then(|rest| rest.get(..3)?.parse().ok());
        facts.code = after(&facts.text, "<Code>")
            .and_then(|rest| Some(rest.split_once("</Code>")?.0.to_owned()))
            .unwrap_or_default();
        facts
    }
}

impl Facts {
    /// True if the last resort, the machine's own service for credentials, did not answer.
    fn lacks_credentials(&self) -> bool {
        let services = ["169.254.169.254", "metadata.google.internal"];
        services.iter().any(|service| self.text.contains(service))
    }
}

fn after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.split_once(mark).map(|(_, rest)| rest)
}

/// True for an object that is not there, and not for a bucket that is not.
pub(super) fn is_absent(failure: &Failure) -> bool {
    matches!(failure, Failure::NotFound { .. }) && !is_bucket_absent(&Facts::of(failure))
}

fn is_bucket_absent(facts: &Facts) -> bool {
    [
        "NoSuchBucket",
        "ContainerNotFound",
        "The specified bucket does not exist",
    ]
    .iter()
    .any(|word| facts.code == *word || facts.text.contains(word))
}

/// True if the range asked for begins at or behind the end of the object.
pub(super) fn is_beyond_end(failure: &Failure) -> bool {
    let facts = Facts::of(failure);
    facts.status == Some(416)
        || facts.text.contains("range starting at")
        || facts.code == "InvalidRange"
}

/// True if the server answered with the whole object although a range was asked for.
pub(super) fn is_whole(failure: &Failure) -> bool {
    Facts::of(failure).text.contains("non-partial response")
}

/// What a failed conditional put may have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Something is there.
    Exists,
    /// The server knows no conditional puts.
    Unconditional,
    /// Nothing was done, and the request may be sent again.
    Again,
    /// Nobody knows whether it was done; it may be sent again.
    Doubt,
    /// It failed for good.
    Failed,
}

/// The error of a plug-in that a failure holds.
fn of_plugin(failure: &Failure) -> Option<&Error> {
    let mut link: Option<&(dyn StdError + 'static)> = Some(failure);
    while let Some(error) = link {
        if let Some(own) = error.downcast_ref::<Error>() {
            return Some(own);
        }
        link = error.source();
    }
    None
}

/// Judges a failed conditional put.
pub(super) fn judge(failure: &Failure) -> Verdict {
    if let Some(own) = of_plugin(failure) {
        return match own.kind() {
            ErrorKind::Store => Verdict::Doubt,
            _ => Verdict::Failed,
        };
    }
    let facts = Facts::of(failure);
    match failure {
        // Someone else is writing there at this moment.
        Failure::AlreadyExists { .. }
            if facts.status == Some(409) && facts.code != "BlobAlreadyExists" =>
        {
            Verdict::Again
        }
        Failure::AlreadyExists { .. } | Failure::Precondition { .. } => Verdict::Exists,
        Failure::NotImplemented { .. } | Failure::NotSupported { .. } => Verdict::Unconditional,
        Failure::Generic { .. } if facts.code == "NotImplemented" || facts.status == Some(501) => {
            Verdict::Unconditional
        }
        // No credentials were found, after trying for a while.
        Failure::Generic { .. } if facts.lacks_credentials() => Verdict::Failed,
        Failure::Generic { .. } => match (facts.network, facts.status) {
            (Some(HttpErrorKind::Connect), _) => Verdict::Again,
            (Some(_), _) => Verdict::Doubt,
            (None, Some(408 | 429)) => Verdict::Again,
            (None, Some(status)) if status >= 500 => Verdict::Doubt,
            (None, Some(_)) => Verdict::Failed,
            // No answer of a server and no failure of the network that is known: anything may have happened.
            (None, None) => Verdict::Doubt,
        },
        _ => Verdict::Failed,
    }
}

impl Site {
    /// An object that is not there.
    pub(super) fn missing(&self, path: &str) -> Error {
        Error::new(
            ErrorKind::MissingObject,
            format!("the object {path} is not in store `{}`", self.name()),
        )
        .store(self.name())
        .path(path)
    }

    /// A folder where an object was asked for.
    pub(super) fn is_folder(&self, path: &str) -> Error {
        Error::new(
            ErrorKind::IsADirectory,
            format!(
                "{path} is a folder in store `{}`, where a file was expected",
                self.name()
            ),
        )
        .store(self.name())
        .path(path)
    }

    /// A path that is taken.
    pub(super) fn taken(&self, path: &str) -> Error {
        Error::new(
            ErrorKind::Store,
            format!("there is an object at {path} already"),
        )
        .store(self.name())
        .path(path)
    }

    /// An object whose content is another one than a moment ago.
    pub(super) fn replaced(&self, path: &str) -> Error {
        Error::new(
            ErrorKind::Store,
            format!(
                "the object {path} in store `{}` was replaced while it was read",
                self.name()
            ),
        )
        .store(self.name())
        .path(path)
        .hint("Read it again.")
    }

    /// Any other failure.
    pub(super) fn failed(&self, action: &str, path: &str, failure: &Failure) -> Error {
        let facts = Facts::of(failure);
        let what = if path.is_empty() {
            format!("store `{}`", self.name())
        } else {
            format!("{path} in store `{}`", self.name())
        };
        let own = of_plugin(failure);
        let (why, hint) = match own {
            Some(own) => (
                Some(self.scrubbed(own.message())),
                own.hint_text().map(str::to_owned),
            ),
            None => self.reason(action, failure, &facts),
        };
        let why = match why {
            Some(why) => why,
            None => self.scrubbed(&facts.text),
        };
        let mut error = Error::new(
            ErrorKind::Store,
            format!("could not {action} {what}: {why}"),
        )
        .store(self.name());
        if !path.is_empty() {
            error = error.path(path);
        }
        if let Some(own) = own {
            error = error.with_source(own.clone());
        }
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    /// As [`Site::failed`], but an absent object is [`ErrorKind::MissingObject`], and one that is not what it was before
    /// is said to be replaced.
    pub(super) fn unread(&self, path: &str, failure: &Failure) -> Error {
        match failure {
            _ if is_absent(failure) => self.missing(path),
            Failure::Precondition { .. } => self.replaced(path),
            _ => self.failed("read", path, failure),
        }
    }

    /// Why, and what to do; without a reason the failure's own text is shown.
    fn reason(
        &self,
        action: &str,
        failure: &Failure,
        facts: &Facts,
    ) -> (Option<String>, Option<String>) {
        let place = self.place();
        let (container, credentials) = match self.spec.protocol {
            Protocol::Azure => (
                "container",
                "account_name and account_key, or connection_string",
            ),
            Protocol::Gcs => ("bucket", "token"),
            _ => ("bucket", "access_key and secret_key"),
        };
        let said = |why: &str, hint: String| (Some(why.to_owned()), Some(hint));
        let code = match facts.code.as_str() {
            "" => String::new(),
            code => format!(" ({code})"),
        };
        if facts.lacks_credentials() {
            return said(
                "no credentials were found",
                format!("Set the store's {credentials}, or provide them in the environment."),
            );
        }
        if let Some(kind) = facts.network {
            let text = facts.text.to_lowercase();
            if text.contains("certificate")
                || text.contains("tls")
                || text.contains("handshake")
                || text.contains("corrupt message")
            {
                let hint = "Check that the endpoint speaks TLS (`secure`), and that its certificate is valid and known to this system.";
                return said(
                    &format!("no secure connection to {place}: {}", self.cause(facts)),
                    hint.into(),
                );
            }
            let (why, hint) = match kind {
                HttpErrorKind::Timeout => (
                    format!("no answer from {place} in time"),
                    format!("Check the network, or allow more time with lode.stores.{}.timeout (seconds).", self.name()),
                ),
                HttpErrorKind::Connect => (
                    format!("{place} cannot be reached: {}", self.cause(facts)),
                    "Check the store's endpoint, and that the server runs.".to_owned(),
                ),
                _ => (
                    format!("the connection to {place} broke: {}", self.cause(facts)),
                    "Check that the endpoint is an object store, and `secure`, which chooses http or https.".to_owned(),
                ),
            };
            return (Some(why), Some(hint));
        }
        if is_bucket_absent(facts) {
            return said(
                &format!("there is no {container} `{}`{code}", self.bucket),
                format!("Create the {container} at {place}, or correct the store's `{container}`."),
            );
        }
        let words = |any: &[&str]| {
            any.iter()
                .any(|w| facts.code == *w || facts.text.contains(w))
        };
        if words(&[
            "ExpiredToken",
            "TokenRefreshRequired",
            "token has expired",
            "invalid_grant",
            "expired",
        ]) {
            return said(
                &format!("the credentials have expired{code}"),
                "Get new ones.".into(),
            );
        }
        if words(&["RequestTimeTooSkewed"]) {
            return said(
                &format!("the clocks differ{code}"),
                "Set this computer's clock.".into(),
            );
        }
        if words(&[
            "AuthorizationHeaderMalformed",
            "PermanentRedirect",
            "IllegalLocationConstraint",
        ]) || facts.text.contains("without LOCATION")
            || matches!(facts.status, Some(301 | 307))
        {
            return said(
                &format!(
                    "the {container} `{}` belongs to another region or endpoint{code}",
                    self.bucket
                ),
                format!(
                    "Set lode.stores.{}.region or AWS_REGION, or correct the endpoint.",
                    self.name()
                ),
            );
        }
        if words(&[
            "SignatureDoesNotMatch",
            "InvalidAccessKeyId",
            "AuthenticationFailed",
            "InvalidAuthenticationInfo",
            "InvalidToken",
        ]) || matches!(failure, Failure::Unauthenticated { .. })
        {
            return said(
                &format!("{place} refuses the credentials{code}"),
                format!("Check the store's {credentials}."),
            );
        }
        if matches!(failure, Failure::PermissionDenied { .. }) {
            return said(
                &format!("{place} does not permit it{code}"),
                format!(
                    "The credentials must be allowed to {} in {container} `{}`.",
                    permission(action),
                    self.bucket
                ),
            );
        }
        if words(&["InsufficientStorage", "QuotaExceeded", "EntityTooLarge"])
            || facts.status == Some(507)
        {
            return said(
                &format!("there is no room for it{code}"),
                "Free space there, or raise the quota.".into(),
            );
        }
        if words(&["SlowDown", "TooManyRequests"]) || matches!(facts.status, Some(429 | 503)) {
            return (
                Some(format!("{place} is overloaded{code}")),
                Some("Try again later, or lower lode.requests_in_flight.".to_owned()),
            );
        }
        (None, None)
    }

    /// The last message of a chain: what actually happened.
    fn cause(&self, facts: &Facts) -> String {
        let last = facts.text.rsplit(": ").next().unwrap_or(&facts.text);
        self.scrubbed(last)
    }

    /// The server, as configuration names it.
    fn place(&self) -> String {
        let endpoint = self
            .spec
            .connection
            .get("endpoint")
            .and_then(|e| e.as_str());
        match (
            endpoint,
            self.options.endpoint.as_deref(),
            &self.spec.protocol,
        ) {
            (_, Some(endpoint), _) | (Some(endpoint), None, _) => endpoint.to_owned(),
            (None, None, Protocol::Gcs) => "Google Cloud Storage".into(),
            (None, None, Protocol::Azure) => "Azure".into(),
            (None, None, _) => "the server".into(),
        }
    }

    /// A text without secrets.
    pub(super) fn scrubbed(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            text = text.replace(secret.as_str(), "***");
        }
        text
    }

    /// A failure of this store's own making, with its name.
    pub(super) fn named<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|e| e.store(self.name()))
    }
}

/// What an action needs to be allowed to.
fn permission(action: &str) -> &'static str {
    match action {
        "list" => "list objects",
        "delete" => "delete objects",
        "write" => "write objects",
        "copy" => "read and write objects",
        _ => "read and list objects",
    }
}
