//! From a specification to clients (spec: stores §2.1).

use std::path::Path as LocalPath;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredentialProvider};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::{HttpClient, HttpConnector, ReqwestConnector};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig};

use super::Site;
use super::wire::Wire;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Protocol, StoreSpec};

/// The clients of one store; they differ in how they do things, not in what they reach.
pub(super) struct Clients {
    /// For requests that may be sent twice: it retries by itself.
    pub(super) store: Arc<dyn ObjectStore>,
    /// For requests whose lost answer must be noticed: it never retries.
    pub(super) once: Arc<dyn ObjectStore>,
    /// Deletes one object a request, which every server knows and every name survives.
    pub(super) single: Arc<dyn ObjectStore>,
}

impl Clients {
    /// One client for everything.
    pub(super) fn same(client: &Arc<dyn ObjectStore>) -> Self {
        Clients {
            store: Arc::clone(client),
            once: Arc::clone(client),
            single: Arc::clone(client),
        }
    }
}

/// How long after its first attempt a request may still be repeated: signatures and tokens last longer than this.
const RETRY_FOR: Duration = Duration::from_secs(120);

/// The bucket or container; empty in memory.
pub(super) fn bucket(spec: &StoreSpec) -> String {
    let key = match spec.protocol {
        Protocol::Azure => "container",
        _ => "bucket",
    };
    text(spec, key).unwrap_or_default()
}

/// What must never be shown.
pub(super) fn secrets(spec: &StoreSpec) -> Vec<String> {
    let secret = |key: &&String| Config::is_secret(&format!("stores.{}.{key}", spec.name));
    let keys = spec.connection.keys().filter(secret);
    let mut secrets: Vec<String> = keys.filter_map(|key| text(spec, key)).collect();
    if let Some(connection) = text(spec, "connection_string") {
        let parts = pairs(&connection);
        let secret =
            parts.filter(|(key, _)| matches!(*key, "AccountKey" | "SharedAccessSignature"));
        secrets.extend(secret.map(|(_, value)| value.to_owned()));
    }
    let key_file = match spec.connection.get("token") {
        Some(serde_json::Value::String(text)) => serde_json::from_str(text).unwrap_or_default(),
        Some(token) => token.clone(),
        None => serde_json::Value::Null,
    };
    let parts = ["private_key", "refresh_token", "client_secret"];
    secrets.extend(
        parts
            .iter()
            .filter_map(|part| Some(key_file.get(part)?.as_str()?.to_owned())),
    );
    // The longest first, so that none is shown in part. A path is no secret, and short words occur everywhere.
    secrets.retain(|s| s.len() >= 4 && !LocalPath::new(s).is_file());
    secrets.sort_by_key(|s| std::cmp::Reverse(s.len()));
    secrets
}

/// Refuses a location that would be another one on the wire, and warns about one with slashes at its ends.
pub(super) fn check_location(spec: &StoreSpec) -> Result<()> {
    let location = &spec.location;
    let refuse = |why: &str, hint: &str| {
        Err(config(spec, &format!("the location {location:?} {why}")).hint(hint))
    };
    if location.split('/').any(|part| part == "." || part == "..") {
        return refuse(
            "has a part `.` or `..`",
            "Object stores have no folders to climb; write the plain prefix.",
        );
    }
    if location.contains('\0') {
        return refuse("contains a NUL character", "Write the plain prefix.");
    }
    if super::key::is_escaped(&super::key::escape(location)) && !can_escape(&spec.protocol) {
        return refuse(
            "begins or ends with a slash, or has an empty part or a control character",
            "Write it without.",
        );
    }
    Ok(())
}

/// True if keys that the library cannot hold can still be reached.
pub(super) fn can_escape(protocol: &Protocol) -> bool {
    matches!(
        protocol,
        Protocol::Memory | Protocol::S3 | Protocol::Plugin(_)
    )
}

/// The clients of a site.
pub(super) fn connect(at: &Site) -> Result<Clients> {
    // The client takes the process-wide choice of cryptography, and would panic without one.
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Fails if one is chosen already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    check_bucket(at)?;
    match at.spec.protocol {
        Protocol::S3 => s3(at),
        Protocol::Gcs => gcs(at),
        Protocol::Azure => azure(at),
        Protocol::File | Protocol::Memory | Protocol::Plugin(_) => {
            Err(Error::invalid("this protocol has no server"))
        }
    }
}

fn check_bucket(at: &Site) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let bucket = &at.bucket;
    if bucket.is_empty() || !bucket.chars().all(plain) || bucket.starts_with('.') {
        let key = match at.spec.protocol {
            Protocol::Azure => "container",
            _ => "bucket",
        };
        return Err(config(
            &at.spec,
            &format!("`{bucket}` cannot be the name of a {key}"),
        ));
    }
    Ok(())
}

fn s3(at: &Site) -> Result<Clients> {
    let spec = &at.spec;
    let endpoint = s3_endpoint(at)?;
    let http = endpoint.starts_with("http://");
    let (access, secret) = (text(spec, "access_key"), text(spec, "secret_key"));
    let builder = match (access, secret) {
        (Some(access), Some(secret)) => AmazonS3Builder::new()
            .with_access_key_id(access)
            .with_secret_access_key(secret),
        (None, None) => ambient_s3(),
        (Some(_), None) => {
            return Err(config(spec, "there is an `access_key`, but no `secret_key`").hint(BOTH));
        }
        (None, Some(_)) => {
            return Err(config(spec, "there is a `secret_key`, but no `access_key`").hint(BOTH));
        }
    };
    let region = at.options.region.clone().or_else(|| region(&endpoint));
    let region = region
        .or_else(|| builder.get_config_value(&AmazonS3ConfigKey::Region))
        .unwrap_or_else(|| "us-east-1".into());
    let builder = builder
        .with_endpoint(&endpoint)
        .with_bucket_name(&at.bucket)
        .with_region(&region)
        .with_virtual_hosted_style_request(false)
        .with_client_options(client_options(at, http)?);
    let found = builder.clone().build().map_err(|e| unusable(at, &e))?;
    let credentials = Arc::clone(found.credentials());
    let builder = builder
        .with_credentials(Arc::clone(&credentials))
        .with_http_connector(Shared {
            credentials,
            region,
            made: Mutex::default(),
        });
    let once = builder.clone().with_retry(retries(0));
    let store = builder.with_retry(retries(at.options.retries));
    let single = store.clone().with_disable_bulk_delete(true);
    Ok(Clients {
        store: Arc::new(store.build().map_err(|e| unusable(at, &e))?),
        once: Arc::new(once.build().map_err(|e| unusable(at, &e))?),
        single: Arc::new(single.build().map_err(|e| unusable(at, &e))?),
    })
}

const BOTH: &str = "Give both, or neither to use the credentials of the environment.";

/// The endpoint with its scheme, without a slash at its end.
fn s3_endpoint(at: &Site) -> Result<String> {
    let spec = &at.spec;
    let endpoint = text(spec, "endpoint").unwrap_or_default();
    let secure = spec.connection.get("secure").is_none_or(|s| match s {
        serde_json::Value::Bool(secure) => *secure,
        serde_json::Value::String(word) => {
            !matches!(word.to_lowercase().as_str(), "false" | "no" | "0" | "off")
        }
        serde_json::Value::Number(n) => n.as_f64() != Some(0.0),
        _ => true,
    });
    let full = match (endpoint.contains("://"), secure) {
        (true, _) => endpoint.clone(),
        (false, true) => format!("https://{endpoint}"),
        (false, false) => format!("http://{endpoint}"),
    };
    check_url(spec, "endpoint", &full)
}

/// A URL without a slash at its end, if it is one of a server.
fn check_url(spec: &StoreSpec, key: &str, full: &str) -> Result<String> {
    let wrong = |why: &str| {
        config(spec, &format!("`{key}` is no address of a server: {why}"))
            .hint("Write `host`, `host:port` or `https://host:port`.")
    };
    let url = url::Url::parse(full).map_err(|e| wrong(&e.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("its scheme is neither http nor https"));
    }
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(wrong("it holds more than scheme, host, port and path"));
    }
    Ok(full.trim_end_matches('/').to_owned())
}

/// The region of the environment, or that of an Amazon endpoint (`s3.eu-west-1.amazonaws.com`).
fn region(endpoint: &str) -> Option<String> {
    let host = endpoint.split("://").nth(1)?;
    let of_amazon = host
        .split_once(".amazonaws.com")
        .and_then(|(front, _)| {
            front
                .strip_prefix("s3.")
                .or_else(|| front.strip_prefix("s3-"))
        })
        .map(|r| r.trim_start_matches("dualstack.").to_owned());
    let of_environment = || {
        ["AWS_REGION", "AWS_DEFAULT_REGION"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|r| !r.is_empty()))
    };
    of_amazon.or_else(of_environment)
}

/// What the environment provides: variables, web identity, the shared credentials file, the container, the machine.
fn ambient_s3() -> AmazonS3Builder {
    let builder = AmazonS3Builder::from_env();
    let has = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    if has("AWS_ACCESS_KEY_ID") || has("AWS_WEB_IDENTITY_TOKEN_FILE") {
        return builder;
    }
    match shared_credentials() {
        Some((access, secret, token)) => {
            let builder = builder
                .with_access_key_id(access)
                .with_secret_access_key(secret);
            match token {
                Some(token) => builder.with_token(token),
                None => builder,
            }
        }
        None => builder,
    }
}

/// Access key, secret key and session token of a profile of `~/.aws/credentials`, which the client library does not read.
fn shared_credentials() -> Option<(String, String, Option<String>)> {
    let path = std::env::var_os("AWS_SHARED_CREDENTIALS_FILE")
        .map(std::path::PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".aws/credentials")))?;
    let text = std::fs::read_to_string(path).ok()?;
    let profile = std::env::var("AWS_PROFILE").unwrap_or_else(|_| "default".into());
    profile_of(&text, &profile)
}

fn profile_of(text: &str, profile: &str) -> Option<(String, String, Option<String>)> {
    let mut here = false;
    let (mut access, mut secret, mut token) = (None, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            here = name.trim() == profile;
        } else if here && let Some((key, value)) = line.split_once('=') {
            let value = Some(value.trim().to_owned()).filter(|v| !v.is_empty());
            match key.trim() {
                "aws_access_key_id" => access = value,
                "aws_secret_access_key" => secret = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
    }
    Some((access?, secret?, token))
}

fn gcs(at: &Site) -> Result<Clients> {
    let spec = &at.spec;
    let endpoint = match &at.options.endpoint {
        Some(endpoint) => Some(check_url(spec, "endpoint", endpoint)?),
        None => None,
    };
    let http = endpoint.as_ref().is_some_and(|e| e.starts_with("http://"));
    let token = match spec.connection.get("token") {
        // The file's content may be given in place of its name.
        Some(serde_json::Value::Object(key)) => {
            Some(serde_json::Value::Object(key.clone()).to_string())
        }
        _ => text(spec, "token"),
    };
    let mut builder = match token.as_deref() {
        None | Some("google_default" | "cloud") => GoogleCloudStorageBuilder::from_env(),
        Some("anon") => GoogleCloudStorageBuilder::new().with_skip_signature(true),
        Some(json) if json.trim_start().starts_with('{') => {
            GoogleCloudStorageBuilder::new().with_service_account_key(json)
        }
        Some(path) if LocalPath::new(path).is_file() => gcs_file(at, path)?,
        // A bearer token has neither a slash at its start nor this ending.
        Some(path) if path.ends_with(".json") || path.starts_with(['/', '~', '.']) => {
            return Err(config(spec, "the file that `token` names is not there")
                .hint("`token` is the path or the content of a service account's key file, or a bearer token."));
        }
        Some(token) => GoogleCloudStorageBuilder::new().with_bearer_token(token),
    };
    builder = builder
        .with_bucket_name(&at.bucket)
        .with_client_options(client_options(at, http)?);
    if let Some(endpoint) = endpoint {
        builder = builder.with_base_url(&endpoint);
    }
    let once = builder.clone().with_retry(retries(0));
    let store = builder.with_retry(retries(at.options.retries));
    let store: Arc<dyn ObjectStore> = Arc::new(store.build().map_err(|e| unusable(at, &e))?);
    Ok(Clients {
        once: Arc::new(once.build().map_err(|e| unusable(at, &e))?),
        single: Arc::clone(&store),
        store,
    })
}

/// A key file of a service account, or the file that `gcloud auth application-default login` writes.
fn gcs_file(at: &Site, path: &str) -> Result<GoogleCloudStorageBuilder> {
    let text =
        std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e).store(at.name()))?;
    let builder = GoogleCloudStorageBuilder::new();
    Ok(match text.contains("\"service_account\"") {
        true => builder.with_service_account_path(path),
        false => builder.with_application_credentials(path),
    })
}

fn azure(at: &Site) -> Result<Clients> {
    let spec = &at.spec;
    let mut account = text(spec, "account_name");
    let mut key = text(spec, "account_key");
    let mut endpoint = at.options.endpoint.clone();
    let mut signature = None;
    let mut emulator = false;
    if let Some(connection) = text(spec, "connection_string") {
        let (mut scheme, mut suffix) = ("https", "core.windows.net");
        for (name, value) in pairs(&connection) {
            match name {
                "AccountName" => account = Some(value.to_owned()),
                "AccountKey" => key = Some(value.to_owned()),
                "BlobEndpoint" => endpoint = Some(value.to_owned()),
                "SharedAccessSignature" => signature = Some(value.to_owned()),
                "DefaultEndpointsProtocol" => scheme = value,
                "EndpointSuffix" => suffix = value,
                "UseDevelopmentStorage" => emulator = value.eq_ignore_ascii_case("true"),
                _ => {}
            }
        }
        if endpoint.is_none() && (scheme, suffix) != ("https", "core.windows.net") {
            endpoint = account
                .as_ref()
                .map(|a| format!("{scheme}://{a}.blob.{suffix}"));
        }
    }
    if account.is_none() && !emulator {
        account = std::env::var("AZURE_STORAGE_ACCOUNT_NAME").ok();
        if account.is_none() {
            return Err(config(
                spec,
                "there is neither `account_name` nor a `connection_string` that holds it",
            ));
        }
    }
    let mut builder = match (&key, &signature) {
        (None, None) if !emulator => MicrosoftAzureBuilder::from_env(),
        _ => MicrosoftAzureBuilder::new(),
    };
    if let Some(account) = account {
        builder = builder.with_account(account);
    }
    if let Some(key) = key {
        builder = builder.with_access_key(key);
    }
    if let Some(signature) = &signature {
        let query = url::form_urlencoded::parse(signature.trim_start_matches('?').as_bytes());
        builder = builder.with_sas_authorization(query.into_owned().collect::<Vec<_>>());
    }
    let mut http = emulator;
    if let Some(endpoint) = endpoint {
        let endpoint = check_url(spec, "endpoint", &endpoint)?;
        http |= endpoint.starts_with("http://");
        builder = builder.with_endpoint(endpoint);
    }
    builder = builder
        .with_container_name(&at.bucket)
        .with_use_emulator(emulator)
        .with_client_options(client_options(at, http)?);
    let once = builder.clone().with_retry(retries(0));
    let store = builder.with_retry(retries(at.options.retries));
    let store: Arc<dyn ObjectStore> = Arc::new(store.build().map_err(|e| unusable(at, &e))?);
    Ok(Clients {
        once: Arc::new(once.build().map_err(|e| unusable(at, &e))?),
        single: Arc::clone(&store),
        store,
    })
}

/// The `name=value` pairs of an Azure connection string.
fn pairs(connection: &str) -> impl Iterator<Item = (&str, &str)> {
    connection
        .split(';')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim()))
}

fn client_options(at: &Site, http: bool) -> Result<ClientOptions> {
    let mut options = ClientOptions::new()
        .with_allow_http(http)
        // For one request with its body, of which none is longer than a part.
        .with_timeout(at.options.timeout)
        .with_connect_timeout(at.options.timeout.min(Duration::from_secs(10)));
    if let Some(path) = &at.options.ca {
        let pem = std::fs::read(path).map_err(|e| Error::io("read", path, e).store(at.name()))?;
        let known = Certificate::from_pem_bundle(&pem)
            .map_err(|_| config(&at.spec, &format!("`ca`: {path} holds no certificates")))?;
        for certificate in known {
            options = options.with_root_certificate(certificate);
        }
    }
    Ok(options)
}

/// Which failures are repeated. The library repeats what the server refused as overloaded or broken (429, 408, 5xx), and
/// requests that were never sent; and, of requests that may be sent twice (reads, listings, deletions, plain puts, parts
/// of an upload), also those whose answer did not come. Conditional puts are repeated by `create.rs`, which tells a lost
/// answer from an object that was there before.
fn retries(max_retries: usize) -> RetryConfig {
    RetryConfig {
        max_retries,
        retry_timeout: RETRY_FOR,
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
    }
}

/// One set of connections for both clients of a store, with names as they are on the wire.
#[derive(Debug)]
struct Shared {
    credentials: AwsCredentialProvider,
    region: String,
    made: Mutex<Option<HttpClient>>,
}

impl HttpConnector for Shared {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        match &*made {
            Some(client) => Ok(client.clone()),
            None => {
                let network = ReqwestConnector::default().connect(options)?;
                let wire = Wire::new(network, Arc::clone(&self.credentials), self.region.clone());
                Ok(made.insert(HttpClient::new(wire)).clone())
            }
        }
    }
}

/// A text of the specification; empty is absent.
fn text(spec: &StoreSpec, key: &str) -> Option<String> {
    let value = spec.connection.get(key)?.as_str()?;
    Some(value.to_owned()).filter(|v| !v.is_empty())
}

fn config(spec: &StoreSpec, why: &str) -> Error {
    Error::new(ErrorKind::Config, format!("store `{}`: {why}", spec.name)).store(&spec.name)
}

/// A specification that the library refuses.
fn unusable(at: &Site, failure: &object_store::Error) -> Error {
    let why = match failure {
        object_store::Error::Generic { source, .. } => source.to_string(),
        other => other.to_string(),
    };
    config(&at.spec, &at.scrubbed(&why))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_profile_is_found_in_the_shared_file() {
        let text = "[other]\naws_access_key_id=A\naws_secret_access_key=B\n[default]\n aws_access_key_id = C \naws_secret_access_key=D=\naws_session_token=\n";
        assert_eq!(
            profile_of(text, "default"),
            Some(("C".into(), "D=".into(), None))
        );
        assert_eq!(
            profile_of(text, "other"),
            Some(("A".into(), "B".into(), None))
        );
        assert_eq!(profile_of(text, "none"), None);
    }

    #[test]
    fn amazon_endpoints_name_their_region() {
        assert_eq!(
            region("https://s3.eu-west-1.amazonaws.com").as_deref(),
            Some("eu-west-1")
        );
        assert_eq!(
            region("https://s3-eu-west-1.amazonaws.com").as_deref(),
            Some("eu-west-1")
        );
        assert_eq!(
            region("https://s3.dualstack.eu-west-1.amazonaws.com").as_deref(),
            Some("eu-west-1")
        );
    }
}
