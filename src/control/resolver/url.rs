//! Owns the resolver that is a URL: `GET <url>/<account>` over HTTP or HTTPS. Blocks its thread: for workers only.
//! Never decodes a JWT, never logs credentials that a URL holds.

use std::time::Duration;

use ureq::Agent;
use ureq::tls::TlsConfig;

use crate::auth::resolver::JWT_BYTES_MAX;

/// How long an answer may take, redirects included. The oracle's.
pub const FETCH_MAX: Duration = Duration::from_millis(1_900);

/// As many as the oracle follows.
const REDIRECTS_MAX: u32 = 10;

/// A place that is asked for account JWTs.
#[derive(Debug)]
pub struct UrlResolver {
    /// Ends in `/`.
    base: String,
    agent: Agent,
}

impl UrlResolver {
    /// Asks at `url`, for `fetch_max` at most. Connects to nothing yet.
    pub fn new(url: &str, fetch_max: Duration, tls: TlsConfig) -> UrlResolver {
        let slash = if url.ends_with('/') { "" } else { "/" };
        UrlResolver {
            base: format!("{url}{slash}"),
            agent: agent(fetch_max, tls),
        }
    }

    /// What is said of an account; of none (`""`) to see whether anybody is there. Whether that is the account's JWT is
    /// for the caller to see.
    ///
    /// # Errors
    /// A sentence: nobody answers in time, with 200, and with a text that can be a JWT.
    pub fn fetch(&self, key: &str) -> Result<String, String> {
        let url = format!("{}{key}", self.base);
        let failed = |why: String| format!("could not fetch <{:?}>: {why}", redacted(&url));
        let answer = self.agent.get(&url).call();
        let mut answer = answer.map_err(|error| failed(error.to_string()))?;
        if answer.status() != 200 {
            return Err(failed(answer.status().to_string()));
        }
        let body = answer.body_mut().with_config().limit(JWT_BYTES_MAX as u64);
        body.read_to_string()
            .map_err(|error| failed(error.to_string()))
    }
}

fn agent(fetch_max: Duration, tls: TlsConfig) -> Agent {
    let config = Agent::config_builder()
        .timeout_global(Some(fetch_max))
        .http_status_as_error(false)
        .max_redirects(REDIRECTS_MAX)
        .proxy(None)
        .tls_config(tls)
        .build();
    config.new_agent()
}

/// The URL without a password.
fn redacted(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((user, _)) if user.contains(':') => {
            let name = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{name}:xxxxx{}", &rest[user.len()..])
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;
