//! Accounts as configured to the tables that the broker runs on. Takes what [`check`](crate::config::check) found right;
//! never opens a file, never decides who may import.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::config::check::{Exporters, Permit};
use crate::config::{self, Account, Config, Export, ExportKind, Import, ResponseType, Service};
use crate::subject::{Transform, TransformError, has_wildcard, overlaps};

use super::table::{
    AccountTable, ExportId, Latency, Mapping, RoutingTable, ServiceHop, StreamHop, StreamSource,
};
use super::{AccountId, GLOBAL, GLOBAL_NAME, SYSTEM_NAME};

/// Why an account could not be compiled: what [`check`](crate::config::check) should have refused.
pub type CompileError = TransformError;

/// The tables of a configuration. Accounts have the numbers they have in `before`, by name; new ones get new numbers,
/// and those that are no longer there keep theirs, with empty tables: connections may be in them for a moment yet.
///
/// # Errors
/// A mapping or an import whose subjects make no transform.
pub fn compile(
    config: &Config,
    before: Option<&RoutingTable>,
) -> Result<RoutingTable, CompileError> {
    let exporters = Exporters::new(config);
    let mut compiler = Compiler::new(config, before);
    compiler.map(GLOBAL, &config.mappings)?;
    for account in &config.accounts {
        let id = compiler.names[&*account.name];
        let table = compiler.table(id);
        (table.limits, table.trace) = (account.limits.clone(), account.trace.clone());
        if let Some(label) = &account.label {
            table.label = label.as_str().into();
        }
        compiler.map(id, &account.mappings)?;
        for (via, import) in (0..).zip(&account.imports) {
            compiler.import(&exporters, account, id, (via, import))?;
        }
    }
    let system = system_name(config).map(|name| compiler.names[name]);
    let mut table = RoutingTable {
        system,
        accounts: compiler.accounts,
        names: compiler.names,
        unknown: Box::new(AccountTable::new("".into())),
    };
    if let Some(before) = before {
        table.keep_seats(before);
    }
    Ok(table)
}

/// The system's account: the one that is configured, else one of its own unless none is wanted, or accounts come from
/// JWTs.
fn system_name(config: &Config) -> Option<&str> {
    let own = !config.no_system_account && !config.operators.is_operator_mode();
    let default = own.then_some(SYSTEM_NAME);
    config.configured_system_account().or(default)
}

struct Compiler {
    accounts: Vec<AccountTable>,
    names: HashMap<Arc<str>, AccountId>,
}

impl Compiler {
    /// Numbers the accounts: those of before, the global one, the system's, then those of the file in its order.
    fn new(config: &Config, before: Option<&RoutingTable>) -> Self {
        let named = config.accounts.iter().map(|account| &*account.name);
        let before = before.map_or(&[][..], |table| &table.accounts);
        let mut numbers: HashMap<Arc<str>, AccountId> = HashMap::new();
        let mut compiler = Compiler {
            accounts: Vec::new(),
            names: HashMap::new(),
        };
        for account in before {
            compiler.number(&mut numbers, &account.name);
        }
        let system = system_name(config);
        for name in [GLOBAL_NAME].into_iter().chain(system).chain(named) {
            let id = compiler.number(&mut numbers, name);
            let name = compiler.table(id).name.clone();
            compiler.names.insert(name, id);
        }
        compiler
    }

    /// The number of an account, a new one with an empty table if it has none.
    fn number(&mut self, numbers: &mut HashMap<Arc<str>, AccountId>, name: &str) -> AccountId {
        if let Some(id) = numbers.get(name) {
            return *id;
        }
        let id = AccountId(self.accounts.len() as u32);
        let name: Arc<str> = name.into();
        self.accounts.push(AccountTable::new(name.clone()));
        numbers.insert(name, id);
        id
    }

    fn table(&mut self, id: AccountId) -> &mut AccountTable {
        &mut self.accounts[id.0 as usize]
    }

    fn map(&mut self, id: AccountId, mappings: &[config::Mapping]) -> Result<(), CompileError> {
        for (place, mapping) in mappings.iter().enumerate() {
            let mut up_to = 0;
            let mut ways = Vec::new();
            // A node outside a cluster takes only what is for all.
            for way in mapping
                .destinations
                .iter()
                .filter(|way| way.cluster.is_none())
            {
                up_to += way.weight;
                ways.push((up_to, Transform::new(&mapping.source, &way.subject)?));
            }
            let rank = (has_wildcard(mapping.source.as_bytes()), place);
            let mut all = mapping.destinations.iter();
            let lossy = all.any(|way| way.subject == mapping.source);
            let rule = Mapping { rank, ways, lossy };
            self.table(id).mappings.add(mapping.source.as_bytes(), rule);
        }
        Ok(())
    }

    fn import(
        &mut self,
        exporters: &Exporters<'_>,
        account: &Account,
        to: AccountId,
        (via, import): (u32, &Import),
    ) -> Result<(), CompileError> {
        let Some(exporter) = self.names.get(&*import.account.0).copied() else {
            return Ok(());
        };
        if import.service {
            let permit = exporters.permit(&account.name, import);
            return self.import_service(to, exporter, (via, import), permit);
        }
        let local = import.local();
        let transform = match local == import.subject {
            true => None,
            false => Some(import.transform()?),
        };
        let seen = match &transform {
            None => local.into_bytes(),
            Some(transform) => transform.results(),
        };
        self.table(to).sources.push(StreamSource {
            seen: seen.into(),
            from: exporter,
            via,
        });
        let allow_trace = import.allow_trace;
        let hop = StreamHop {
            to,
            pattern: import.subject.as_bytes().into(),
            transform,
            allow_trace,
            via,
        };
        self.table(exporter)
            .streams
            .add(import.subject.as_bytes(), hop);
        Ok(())
    }

    fn import_service(
        &mut self,
        importer: AccountId,
        exporter: AccountId,
        (via, import): (u32, &Import),
        permit: Permit<'_>,
    ) -> Result<(), CompileError> {
        let local = import.local();
        let transform = match local == import.subject {
            true => None,
            false => Some(import.transform()?),
        };
        let pattern = transform
            .as_ref()
            .map_or(local.as_bytes().to_vec(), |t| t.source().to_vec());
        let (subject, service, allow_trace) = match permit {
            Permit::Granted(Export {
                subject,
                kind: ExportKind::Service(service),
                allow_trace,
                ..
            }) => (subject, service.clone(), *allow_trace),
            _ => (&import.subject, Service::default(), false),
        };
        let latency = service.latency.map(|latency| {
            Arc::new(Latency {
                sampling: latency.sampling,
                subject: latency.subject.into_bytes().into(),
            })
        });
        let comes_back = importer == exporter && overlaps(&pattern, import.subject.as_bytes());
        let hop = ServiceHop {
            to: exporter,
            export: ExportId::new(exporter, subject.as_bytes()),
            transform,
            share: import.share,
            many_answers: service.response != ResponseType::Singleton,
            threshold_ms: service.threshold_ms,
            latency,
            allow_trace,
            open: has_wildcard(&pattern),
            comes_back,
            via,
        };
        self.table(importer).services.add(&pattern, hop);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::load_with;

    const CONFIG: &str = r#"
        mappings { "old.*": "new.$1" }
        accounts {
          A {
            exports: [ {stream: "s.>"}, {service: "q.*", response_type: stream, threshold: "3s"} ]
            mappings { half: [ {dest: other, weight: 50%} ], lost: [ {dest: lost, weight: 50%} ] }
          }
          B {
            imports: [
              {stream: {account: A, subject: "s.*.x"}, to: "t.$1"}
              {stream: {account: A, subject: "s.>"}, prefix: p}
              {service: {account: A, subject: "q.*"}, to: "ask.*"}
            ]
          }
        }"#;

    fn tables() -> RoutingTable {
        tables_of(CONFIG, None)
    }

    fn tables_of(config: &str, before: Option<&RoutingTable>) -> RoutingTable {
        let read = |_: &Path| Ok(config.as_bytes().to_vec());
        let loaded = load_with(Path::new("test.conf"), &|_| None, &read);
        compile(&loaded.expect("nothing is wrong").config, before).expect("it compiles")
    }

    fn applied(transform: &Option<Transform>, subject: &str) -> String {
        let mut out = Vec::new();
        match transform {
            None => out.extend_from_slice(subject.as_bytes()),
            Some(transform) => transform.apply(subject.as_bytes(), 0, &mut out),
        }
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn streams_are_seen_under_the_importers_subjects() {
        let table = tables();
        let (a, b) = (table.find("A").unwrap(), table.find("B").unwrap());
        let seen = |subject: &str| {
            let mut seen = Vec::new();
            table.account(a).streams(subject.as_bytes(), |hop| {
                assert_eq!(hop.to, b);
                seen.push(applied(&hop.transform, subject));
            });
            seen.sort();
            seen
        };
        assert_eq!(seen("s.1.x"), ["p.s.1.x", "t.1"]);
        assert_eq!(seen("s.1"), ["p.s.1"]);
        assert!(seen("q.1").is_empty());
        let concerned = |pattern: &str| table.account(b).exporters_seen(pattern.as_bytes()).count();
        assert_eq!(concerned("t.*"), 1);
        assert_eq!(concerned(">"), 2);
        assert_eq!(
            concerned("_INBOX.x"),
            0,
            "inboxes cost the exporter nothing"
        );
    }

    #[test]
    fn services_are_asked_under_the_exporters_subject() {
        let table = tables();
        let (a, b) = (table.find("A").unwrap(), table.find("B").unwrap());
        let mut asked = Vec::new();
        table
            .account(b)
            .services(b"ask.1", false, |hop| asked.push(hop));
        let [hop] = asked.as_slice() else {
            panic!("{asked:?}")
        };
        assert_eq!(hop.to, a);
        assert_eq!(applied(&hop.transform, "ask.1"), "q.1");
        assert!(hop.many_answers);
        assert_eq!(hop.threshold_ms, Some(3_000));
    }

    #[test]
    fn a_system_account_unless_none_is_wanted() {
        let system = |text: &str| {
            let read = |_: &Path| Ok(text.as_bytes().to_vec());
            let loaded = load_with(Path::new("test.conf"), &|_| None, &read);
            let table = compile(&loaded.expect("nothing is wrong").config, None).unwrap();
            let name = table.system.map(|id| table.account(id).name.to_string());
            (name, table.len())
        };
        assert_eq!(system("port: 1"), (Some("$SYS".into()), 2));
        assert_eq!(system("no_system_account: true"), (None, 1));
        let configured = "no_system_account: true, system_account: S, accounts { S {} }";
        assert_eq!(system(configured), (Some("S".into()), 2));
        let by_name = "no_system_account: true, accounts { $SYS {} }";
        assert_eq!(system(by_name), (Some("$SYS".into()), 2));
        let key = "OBLJTVG6IGNGJJPSLIZ7FG2LWGSUAK4HIWDYLCUWLNWJHMX2XPZNSBDW";
        let operators = format!("trusted_keys: {key}, resolver: MEMORY");
        assert_eq!(system(&operators), (None, 1));
    }

    #[test]
    fn mappings_share_what_is_published() {
        let table = tables();
        let a = table.account(table.find("A").unwrap());
        let half = a.mapping(b"half").expect("mapped");
        assert!(half.way(49).is_some() && half.way(50).is_none() && !half.lossy);
        assert!(a.mapping(b"lost").expect("mapped").lossy);
        assert!(a.mapping(b"old.1").is_none(), "the global account's");
        let global = table.account(GLOBAL);
        assert_eq!(applied_way(global.mapping(b"old.1").unwrap()), "new.1");
    }

    #[test]
    fn accounts_keep_their_numbers() {
        let first = tables();
        let second = tables_of("accounts { N {}, B { mappings { a: b } } }", Some(&first));
        assert_eq!(second.find("$G"), Some(GLOBAL));
        assert_eq!(second.find("$SYS"), first.find("$SYS"));
        assert_eq!(second.find("B"), first.find("B"));
        assert_eq!(second.find("N"), Some(AccountId(first.len() as u32)));
        // A is gone: nobody gets into it, but its number is not given to another, and leads nowhere.
        let a = first.find("A").unwrap();
        assert_eq!(second.find("A"), None);
        assert_eq!(&*second.account(a).name, "A");
        assert!(!second.account(a).has_mappings());
        let mut seen = 0;
        second.account(a).streams(b"s.1.x", |_| seen += 1);
        assert_eq!(seen, 0);
        // It comes back as what it was.
        let third = tables_of(CONFIG, Some(&second));
        assert_eq!(third.find("A"), Some(a));
        assert_eq!(third.find("N"), None);
        assert_eq!(third.len(), second.len());
    }

    #[test]
    fn a_number_of_a_later_table_is_an_empty_account() {
        let table = tables();
        let later = table.account(AccountId(table.len() as u32));
        assert!(!later.has_mappings());
        assert_eq!(later.exporters_seen(b">").count(), 0);
    }

    fn applied_way(mapping: &Mapping) -> String {
        let mut out = Vec::new();
        mapping
            .way(99)
            .expect("all of it")
            .apply(b"old.1", 0, &mut out);
        String::from_utf8(out).expect("text")
    }
}
