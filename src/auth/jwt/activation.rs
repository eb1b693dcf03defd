//! Claims of an activation: an exporter allows one account to import something private. Owns the type and what must
//! hold for it by itself.

use serde::Deserialize;
use serde_json::Value;

use super::account::ExportKind;
use super::claims::Common;
use super::json;
use super::validation::Issues;

/// Claims of an activation. `common.subject` is the importer.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivationClaims {
    /// What every token says.
    pub common: Common,
    /// What may be imported.
    pub import_subject: String,
    /// As a stream or as a service.
    pub import_kind: Option<ExportKind>,
    /// The exporter, where a signing key issued the token.
    pub issuer_account: String,
}

impl ActivationClaims {
    pub(super) fn read(version: i64, claims: &Value) -> serde_json::Result<Self> {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Import {
            subject: String,
            kind: Option<ExportKind>,
        }
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct ImportV1 {
            subject: String,
            r#type: Option<ExportKind>,
        }
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Signed {
            issuer_account: String,
        }
        let nats = claims.get("nats");
        let (import, signed): (Import, Signed) = match version {
            1 => {
                let ImportV1 { subject, r#type } = json::read(nats)?;
                let kind = r#type;
                (Import { subject, kind }, json::read(Some(claims))?)
            }
            _ => (json::read(nats)?, json::read(nats)?),
        };
        Ok(ActivationClaims {
            common: Common::read(version, claims)?,
            import_subject: import.subject,
            import_kind: import.kind,
            issuer_account: signed.issuer_account,
        })
    }

    /// The exporter's key: `issuer_account`, else the issuer.
    pub fn account(&self) -> &str {
        match self.issuer_account.is_empty() {
            true => &self.common.issuer,
            false => &self.issuer_account,
        }
    }

    /// Everything that is wrong but the times.
    pub(super) fn validate(&self, issues: &mut Issues) {
        if self.import_kind.is_none() {
            issues.error("an activation is for a stream or a service".to_owned());
        }
        issues.check_subject(&self.import_subject);
        if !self.issuer_account.is_empty() {
            issues.check_account_key(&self.issuer_account);
        }
    }
}
