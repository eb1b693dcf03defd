//! Claims of a callout: the server's request, and the service's response. Owns the types, and makes requests; decides
//! nothing and sends nothing.

use nkeys::{KeyPair, KeyPairType};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::claims::Common;
use super::json;
use super::token::{self, is_public};
use super::validation::Issues;

/// `aud` of a request.
pub const REQUEST_AUDIENCE: &str = "nats-authorization-request";

/// Claims of a request: a client wants to be let in.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestClaims {
    /// What every token says.
    pub common: Common,
    /// What it says as a request.
    pub request: Request,
}

/// `nats` of a request. Members appear in this order.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Request {
    /// The server.
    pub server_id: ServerId,
    /// A key made for this client, which the user of the response must have.
    pub user_nkey: String,
    /// What the server knows of the client.
    pub client_info: ClientInfo,
    /// What the client said.
    pub connect_opts: ConnectOpts,
    /// Its TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_tls: Option<ClientTls>,
    /// Wanted back by the server; 2.15.1 does not set it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request_nonce: String,
}

/// The server that asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct ServerId {
    /// `server_name`.
    pub name: String,
    /// Its host.
    pub host: String,
    /// Its id, a public server key.
    pub id: String,
    /// Its version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Its cluster.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// `server_tags`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The curve key for an encrypted response.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub xkey: String,
}

/// What the server knows of the client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct ClientInfo {
    /// Its address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// `client_id`.
    #[serde(skip_serializing_if = "is_zero")]
    pub id: u64,
    /// Whom it claims to be.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// `name` of CONNECT.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Of its token.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The name in its token.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name_tag: String,
    /// `Client`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// `nats`.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind_of_client: String,
    /// Of MQTT.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mqtt_id: String,
    /// The nonce that it signed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nonce: String,
}

/// What the client said in CONNECT. Holds secrets: `Debug` shows none.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct ConnectOpts {
    /// `jwt`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub jwt: String,
    /// `nkey`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nkey: String,
    /// `sig`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sig: String,
    /// `auth_token`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub auth_token: String,
    /// `user`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// `pass`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pass: String,
    /// `name`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// `lang`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub lang: String,
    /// `version`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// `protocol`.
    pub protocol: i64,
}

/// The client's TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct ClientTls {
    /// `1.3`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// The suite's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cipher: String,
    /// Its certificates (PEM) where they were not verified.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certs: Vec<String>,
    /// Its chains (PEM) where they were.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verified_chains: Vec<Vec<String>>,
}

/// Claims of a response.
#[derive(Clone, Debug, PartialEq)]
pub struct ResponseClaims {
    /// What every token says.
    pub common: Common,
    /// What it says as a response.
    pub response: Response,
}

/// `nats` of a response.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Response {
    /// The user's token: let it in as this.
    pub jwt: String,
    /// Or why not.
    pub error: String,
    /// The account, where a signing key signed the response.
    pub issuer_account: String,
}

impl RequestClaims {
    pub(super) fn read(claims: &Value) -> serde_json::Result<Self> {
        Ok(RequestClaims {
            common: Common::read(2, claims)?,
            request: json::read(claims.get("nats"))?,
        })
    }
}

impl Request {
    /// The token of the request, signed by the server, about `subject`: the service's issuer, or its account. `now` and
    /// `expires` are seconds since 1970.
    ///
    /// # Errors
    /// The key has no seed.
    pub fn encode(
        &self,
        server: &KeyPair,
        subject: &str,
        now: i64,
        expires: i64,
    ) -> Result<String, nkeys::error::Error> {
        let mut nats = json!(self);
        nats["type"] = "authorization_request".into();
        nats["version"] = 2.into();
        let claims = json!({
            "aud": REQUEST_AUDIENCE,
            "exp": expires,
            "sub": subject,
            "nats": nats,
        });
        token::encode(claims, server, now)
    }
}

impl ResponseClaims {
    pub(super) fn read(claims: &Value) -> serde_json::Result<Self> {
        Ok(ResponseClaims {
            common: Common::read(2, claims)?,
            response: json::read(claims.get("nats"))?,
        })
    }

    /// Everything that is wrong, in the oracle's words: the service is told. `now` is seconds since 1970.
    pub fn validate(&self, now: i64) -> Issues {
        let mut issues = Issues::default();
        if !is_public(&KeyPairType::User, &self.common.subject) {
            issues.error("Subject must be a user public key".to_owned());
        }
        if !is_public(&KeyPairType::Server, &self.common.audience) {
            issues.error("Audience must be a server public key".to_owned());
        }
        let Response {
            jwt,
            error,
            issuer_account,
        } = &self.response;
        match (jwt.is_empty(), error.is_empty()) {
            (true, true) => issues.error("Error or Jwt is required".to_owned()),
            (false, false) => issues.error("Only Error or Jwt can be set".to_owned()),
            _ => {}
        }
        if !issuer_account.is_empty() && !is_public(&KeyPairType::Account, issuer_account) {
            issues.error("issuer_account is not an account public key".to_owned());
        }
        issues.check_times(&self.common, now);
        issues
    }
}

impl std::fmt::Debug for ConnectOpts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[what a client said]")
    }
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
