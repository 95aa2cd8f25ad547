//! Names on the wire, for S3: what `key.rs` escaped is written out in requests, and names in listings are escaped again.
//!
//! It stands between the client library and the network. Requests whose address changes are signed anew. Listings ask for
//! names in URL encoding, without which control characters would be lost in XML.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{HeaderValue, Method, Uri};
use object_store::aws::{AwsAuthorizer, AwsCredential, AwsCredentialProvider};
use object_store::client::{
    HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::key;

/// What stands plain in a signed path.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// What stands plain in a signed query.
const QUERY: &AsciiSet = &PATH.add(b'/');

/// The escape character of `key.rs`, in URL encoding.
const MARK: &str = "%EF%B7%90";

/// The header that holds the digest of the body.
const DIGEST: &str = "x-amz-content-sha256";

/// The network, for a store of protocol `s3`.
#[derive(Debug)]
pub(super) struct Wire {
    network: HttpClient,
    credentials: AwsCredentialProvider,
    region: String,
}

impl Wire {
    pub(super) fn new(
        network: HttpClient,
        credentials: AwsCredentialProvider,
        region: String,
    ) -> Self {
        Wire {
            network,
            credentials,
            region,
        }
    }

    async fn sign(&self, request: &mut HttpRequest) -> Result<(), HttpError> {
        let unsigned = !request.headers().contains_key("authorization");
        if unsigned {
            return Ok(());
        }
        let failed = |e| HttpError::new(HttpErrorKind::Request, e);
        let credential: std::sync::Arc<AwsCredential> =
            self.credentials.get_credential().await.map_err(failed)?;
        let digest = request.headers().get(DIGEST).and_then(hex);
        // The body is the same: so is its digest.
        AwsAuthorizer::new(&credential, "s3", &self.region)
            .with_sign_payload(digest.is_some())
            .try_authorize(request, digest.as_deref())
            .map_err(failed)
    }
}

#[async_trait]
impl HttpService for Wire {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let listing = is_listing(&request);
        if let Some(uri) = rewritten(request.uri(), listing) {
            *request.uri_mut() = uri;
            self.sign(&mut request).await?;
        }
        let response = self.network.execute(request).await?;
        if !listing || !response.status().is_success() {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let pieces: Vec<Bytes> = body.bytes_stream().try_collect().await?;
        let text = String::from_utf8_lossy(&pieces.concat()).into_owned();
        Ok(HttpResponse::from_parts(
            parts,
            escaped_listing(&text).into(),
        ))
    }
}

fn is_listing(request: &HttpRequest) -> bool {
    let query = request.uri().query().unwrap_or_default();
    request.method() == Method::GET && query.split('&').any(|pair| pair == "list-type=2")
}

/// The address with names written out; none if it is right as it is.
fn rewritten(uri: &Uri, listing: bool) -> Option<Uri> {
    let text = uri.to_string();
    if !listing && !text.contains(MARK) {
        return None;
    }
    let (address, query) = text.split_once('?').unwrap_or((&text, ""));
    let scheme_end = address.find("://").map_or(0, |at| at + 3);
    let path_start = address[scheme_end..]
        .find('/')
        .map_or(address.len(), |at| scheme_end + at);
    let (server, path) = address.split_at(path_start);
    let path = percent_decode_str(path).decode_utf8().ok()?;
    let mut out = format!(
        "{server}{}",
        utf8_percent_encode(&key::unescape(&path), PATH)
    );
    let mut pairs: Vec<String> = Vec::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let value = key::unescape(&value);
        pairs.push(format!("{name}={}", utf8_percent_encode(&value, QUERY)));
    }
    if listing {
        pairs.push("encoding-type=url".into());
    }
    if !pairs.is_empty() {
        out.push('?');
        out.push_str(&pairs.join("&"));
    }
    out.parse().ok()
}

/// A listing whose names are escaped, so that the library can hold them.
fn escaped_listing(text: &str) -> String {
    let encoded = text.contains("<EncodingType>url</EncodingType>");
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((start, end)) = next_name(rest) {
        out.push_str(&rest[..start]);
        let name = &rest[start..end];
        let name = match encoded {
            // Spaces may be written as plus signs; a plus sign never is.
            true => percent_decode_str(&from_xml(name).replace('+', " "))
                .decode_utf8_lossy()
                .into_owned(),
            false => from_xml(name),
        };
        // The slash at the end of a folder's name is no part of it.
        let (name, slash) = match name.strip_suffix('/') {
            Some(folder) if rest[..start].ends_with("<Prefix>") => (folder, "/"),
            _ => (&*name, ""),
        };
        out.push_str(&to_xml(&key::escape(name)));
        out.push_str(slash);
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// Where the next name stands.
fn next_name(text: &str) -> Option<(usize, usize)> {
    let after = |tag: &str| Some(text.find(tag)? + tag.len());
    let start = [after("<Key>"), after("<Prefix>")]
        .into_iter()
        .flatten()
        .min()?;
    Some((start, start + text[start..].find('<')?))
}

fn from_xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some((entity, after)) = rest.split_once(';') else {
            out.push('&');
            break;
        };
        let number = |digits: &str, radix| {
            u32::from_str_radix(digits, radix)
                .ok()
                .and_then(char::from_u32)
        };
        let c = match entity {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => match entity.strip_prefix("#x") {
                Some(digits) => number(digits, 16),
                None => entity
                    .strip_prefix('#')
                    .and_then(|digits| number(digits, 10)),
            },
        };
        out.extend(c);
        rest = after;
    }
    out.push_str(rest);
    out
}

fn to_xml(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// The bytes of a digest; none if the body is not signed.
fn hex(value: &HeaderValue) -> Option<Vec<u8>> {
    data_encoding::HEXLOWER.decode(value.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn names_are_written_out_in_addresses() {
        let escaped = utf8_percent_encode(&key::escape("data//a\u{1} é"), PATH).to_string();
        let uri: Uri = format!("http://h:1/bucket/{escaped}?partNumber=1")
            .parse()
            .unwrap();
        assert_eq!(
            rewritten(&uri, false).unwrap().to_string(),
            "http://h:1/bucket/data//a%01%20%C3%A9?partNumber=1"
        );
        let uri: Uri = "http://h:1/bucket/a%20b?uploads=".parse().unwrap();
        assert!(rewritten(&uri, false).is_none());
    }

    #[test]
    fn listings_ask_for_encoded_names() {
        let prefix = url::form_urlencoded::byte_serialize(key::escape("data//").as_bytes())
            .collect::<String>();
        let uri: Uri = format!("http://h:1/bucket?list-type=2&prefix={prefix}")
            .parse()
            .unwrap();
        assert_eq!(
            rewritten(&uri, true).unwrap().to_string(),
            "http://h:1/bucket?list-type=2&prefix=data%2F%2F&encoding-type=url"
        );
    }

    #[test]
    fn names_in_listings_are_escaped() {
        let listing = "<ListBucketResult><EncodingType>url</EncodingType><Prefix>d%2F%2F</Prefix><Contents><Key>d%2F%2Fa+b%2B%01&amp;</Key></Contents><CommonPrefixes><Prefix>d/x%2F</Prefix></CommonPrefixes></ListBucketResult>";
        let out = escaped_listing(listing);
        let names: Vec<String> = out
            .split("<Key>")
            .skip(1)
            .map(|rest| key::unescape(&from_xml(rest.split_once('<').unwrap().0)))
            .collect();
        assert_eq!(names, ["d//a b+\u{1}&"]);
        assert!(
            out.contains("<CommonPrefixes><Prefix>d/x/</Prefix>"),
            "{out}"
        );
        let plain = "<Key>a+b%20&lt;&#x9;</Key>";
        let out = escaped_listing(plain);
        assert_eq!(
            key::unescape(&from_xml(&out["<Key>".len()..out.len() - "</Key>".len()])),
            "a+b%20<\t"
        );
    }
}
