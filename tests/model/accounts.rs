//! Random accounts and the configuration that says them. Owns what is exported, imported and mapped; what follows from it
//! is the model's to say.

use std::fmt::Write;
use std::path::Path;

use gannet::config::{Config, load_with};

use super::rng::Rng;
use super::words::{
    Word, Words, covers, meet, numbered_text, pattern_text, renumbered, text, wildcards,
};

/// Everything of a seed that stands in its configuration.
#[derive(Clone, Debug)]
pub struct Accounts {
    /// The accounts; the global one is the first, and exports and imports nothing.
    pub list: Vec<Account>,
    /// Where several mappings match one subject, the oracle takes any. Here none do.
    pub decided: bool,
    /// Imports that would have closed a cycle.
    pub cycles: u64,
}

/// An account.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Its name; its only user is called as it is, in small letters.
    pub name: String,
    /// What others may import.
    pub exports: Vec<Export>,
    /// What it imports.
    pub imports: Vec<Import>,
    /// Where its messages really go.
    pub mappings: Vec<Mapping>,
}

/// An export.
#[derive(Clone, Debug)]
pub struct Export {
    /// A service, or a stream.
    pub service: bool,
    /// What is exported.
    pub subject: Words,
    /// For whom; `None` is everybody.
    pub accounts: Option<Vec<usize>>,
    /// `response_type`
    pub response: &'static str,
}

/// An import.
#[derive(Clone, Debug)]
pub struct Import {
    /// Of a service, or of a stream.
    pub service: bool,
    /// Whose.
    pub from: usize,
    /// By which of their exports.
    pub export: usize,
    /// What the exporter calls it.
    pub theirs: Words,
    /// What the importer calls it; its wildcards have the numbers of the exporter's.
    pub ours: Words,
    /// `prefix: …` or `to: …`, if anything.
    written: String,
    /// `share`
    pub share: bool,
    /// Many answers may come.
    pub many: bool,
}

/// A mapping.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// Of what.
    pub source: Words,
    /// Where to, with shares of 100.
    pub ways: Vec<(u32, Words)>,
}

const FIRST: [&str; 4] = ["a", "b", "c", "t"];
const LATER: [&str; 4] = ["1", "2", "x", "y"];

impl Accounts {
    /// Those of a seed.
    pub fn new(rng: &mut Rng) -> Self {
        let names = ["$G", "A", "B", "C", "D", "E"];
        let account = |name: &&str| Account {
            name: (*name).to_owned(),
            ..Account::default()
        };
        let count = rng.range(3, names.len());
        let mut accounts = Accounts {
            list: names[..count].iter().map(account).collect(),
            decided: rng.chance(500),
            cycles: 0,
        };
        for at in 1..count {
            for _ in 0..rng.range(0, 3) {
                let export = random_export(rng, count);
                accounts.add_export(at, export);
            }
        }
        for at in 1..count {
            for _ in 0..rng.range(0, 4) {
                accounts.add_import(rng, at);
            }
        }
        for at in 1..count {
            accounts.export_on(rng, at);
        }
        for at in 0..count {
            for _ in 0..rng.pick(&[0, 0, 1, 2]) {
                accounts.add_mapping(rng, at);
            }
        }
        accounts
    }

    /// What gannet reads of it.
    pub fn config(&self) -> Result<Config, Vec<String>> {
        let text = self.text();
        let read = |_: &Path| Ok(text.as_bytes().to_vec());
        match load_with(Path::new("model.conf"), &|_| None, &read) {
            Ok(loaded) => Ok(loaded.config),
            Err(errors) => Err(errors.iter().map(ToString::to_string).collect()),
        }
    }

    /// The configuration.
    pub fn text(&self) -> String {
        let mut text = String::from("authorization { users: [ {user: \"$g\", password: p} ] }\n");
        let _ = writeln!(text, "mappings {{{}}}", mappings_text(&self.list[0]));
        text += "accounts {\n";
        for account in &self.list[1..] {
            let exports: Vec<_> = account
                .exports
                .iter()
                .map(|e| self.export_text(e))
                .collect();
            let imports: Vec<_> = account
                .imports
                .iter()
                .map(|i| self.import_text(i))
                .collect();
            let _ = writeln!(
                text,
                "  {} {{\n    users: [ {{user: {}, password: p}} ]\n    exports: [\n{}    ]\n    imports: [\n{}    ]\n    \
                 mappings {{{}}}\n  }}",
                account.name,
                account.user(),
                exports.concat(),
                imports.concat(),
                mappings_text(account)
            );
        }
        text + "}\n"
    }

    fn export_text(&self, export: &Export) -> String {
        let kind = if export.service { "service" } else { "stream" };
        let mut text = format!("      {{{kind}: \"{}\"", pattern_text(&export.subject));
        if let Some(accounts) = &export.accounts {
            let names: Vec<_> = accounts.iter().map(|at| &*self.list[*at].name).collect();
            text += &format!(", accounts: [{}]", names.join(", "));
        }
        if export.service && export.response != "singleton" {
            text += &format!(", response_type: {}", export.response);
        }
        text + "}\n"
    }

    fn import_text(&self, import: &Import) -> String {
        let kind = if import.service { "service" } else { "stream" };
        let share = if import.share { ", share: true" } else { "" };
        format!(
            "      {{{kind}: {{account: {}, subject: \"{}\"}}{}{share}}}\n",
            self.list[import.from].name,
            pattern_text(&import.theirs),
            import.written
        )
    }

    /// Adds an export, unless the one that counts would be open.
    fn add_export(&mut self, at: usize, mut export: Export) -> bool {
        let exports = &mut self.list[at].exports;
        for other in exports
            .iter()
            .filter(|other| other.service == export.service)
        {
            if pattern_text(&other.subject) == pattern_text(&export.subject) {
                return false;
            }
            if meet(&other.subject, &export.subject) {
                export.accounts.clone_from(&other.accounts);
                export.response = other.response;
            }
        }
        let same = |other: &Export| {
            other.service != export.service
                || !meet(&other.subject, &export.subject)
                || other.accounts == export.accounts && other.response == export.response
        };
        let decided = exports.iter().all(same);
        if decided {
            exports.push(export);
        }
        decided
    }

    /// Adds an import of anything that may be imported.
    fn add_import(&mut self, rng: &mut Rng, to: usize) {
        let from = rng.range(1, self.list.len() - 1);
        // The oracle tells a 503 by what is seen of one's own stream as well.
        if from == to && (self.decided || !rng.chance(200)) || self.list[from].exports.is_empty() {
            return;
        }
        let at = rng.below(self.list[from].exports.len());
        let export = self.list[from].exports[at].clone();
        if export
            .accounts
            .as_ref()
            .is_some_and(|all| !all.contains(&to))
        {
            return;
        }
        self.import(rng, to, from, &export);
    }

    fn import(&mut self, rng: &mut Rng, to: usize, from: usize, export: &Export) {
        let theirs = narrowed(rng, &export.subject);
        let exports = &self.list[from].exports;
        let granted =
            |other: &&Export| other.service == export.service && covers(&other.subject, &theirs);
        let granted = exports.iter().position(|export| granted(&export));
        let granted = granted.expect("the one it is made of");
        let mut import = Import {
            service: export.service,
            from,
            ours: theirs.clone(),
            theirs,
            written: String::new(),
            share: export.service && rng.chance(300),
            many: exports[granted].response != "singleton",
            export: granted,
        };
        import.rename(rng);
        self.list[to].imports.push(import);
        self.keep_if_taken(|all| {
            all.list[to].imports.pop();
        });
    }

    /// Exports again what was imported, so that requests go from one account to the next.
    fn export_on(&mut self, rng: &mut Rng, at: usize) {
        for import in self.list[at].imports.clone() {
            if !import.service || !rng.chance(600) {
                continue;
            }
            let export = Export {
                service: true,
                subject: renumbered(&import.ours),
                accounts: None,
                response: rng.pick(&["singleton", "stream"]),
            };
            let to = rng.range(1, self.list.len() - 1);
            if to != at && self.add_export(at, export) {
                let export = self.list[at].exports.last().expect("just added").clone();
                if export.accounts.as_ref().is_none_or(|all| all.contains(&to)) {
                    self.import(rng, to, at, &export);
                }
            }
        }
    }

    fn add_mapping(&mut self, rng: &mut Rng, at: usize) {
        let source = random_pattern(rng, false);
        let mappings = &self.list[at].mappings;
        let text = pattern_text(&source);
        let same = |other: &Mapping| pattern_text(&other.source) == text;
        let meets = |other: &Mapping| meet(&other.source, &source);
        if mappings.iter().any(same) || self.decided && mappings.iter().any(meets) {
            return;
        }
        let shares: &[u32] = match rng.below(5) {
            0 => &[30, 70],
            1 => &[50, 20],
            2 => &[40],
            _ => &[100],
        };
        let mut ways: Vec<(u32, Words)> = Vec::new();
        for share in shares {
            let way = destination(rng, &source);
            if ways.iter().all(|(_, other)| *other != way) {
                ways.push((*share, way));
            }
        }
        self.list[at].mappings.push(Mapping { source, ways });
        self.keep_if_taken(|all| {
            all.list[at].mappings.pop();
        });
    }

    /// What was added last stays unless it closes a cycle, or is the second of the same.
    fn keep_if_taken(&mut self, undo: impl FnOnce(&mut Self)) {
        let Err(errors) = self.config() else {
            return;
        };
        for error in errors {
            let cycle = error.contains("cycle");
            assert!(
                cycle || error.contains("already"),
                "{error}\n{}",
                self.text()
            );
            self.cycles += u64::from(cycle);
        }
        undo(self);
    }
}

impl Account {
    /// The name of its user.
    pub fn user(&self) -> String {
        self.name.to_lowercase()
    }
}

impl Import {
    /// Another name for the importer, perhaps.
    fn rename(&mut self, rng: &mut Rng) {
        match rng.below(3) {
            0 => {}
            1 if !self.service => {
                let prefix = rng.pick(&["p", "p.q", "a"]);
                self.written = format!(", prefix: {prefix}");
                let before = prefix.split('.').map(|word| Word::Is(word.to_owned()));
                self.ours = before.chain(self.theirs.iter().cloned()).collect();
            }
            _ => self.rename_to(rng),
        }
    }

    fn rename_to(&mut self, rng: &mut Rng) {
        let numbers = wildcards(&self.theirs);
        let mut order = numbers.clone();
        for at in (1..order.len()).rev() {
            order.swap(at, rng.below(at + 1));
        }
        let mut shape = vec![Word::Is(rng.pick(&FIRST).to_owned())];
        for number in &numbers {
            if rng.chance(300) {
                shape.push(Word::Is(rng.pick(&LATER).to_owned()));
            }
            shape.push(Word::Any(*number));
        }
        if self.theirs.last() == Some(&Word::Rest) {
            shape.push(Word::Rest);
        }
        let mut next = order.iter().copied();
        let mut numbered = text(&shape, |_| {
            format!("${}", next.next().expect("as many") + 1)
        });
        if order == numbers && rng.chance(500) {
            numbered = pattern_text(&shape);
        }
        self.written = format!(", to: \"{numbered}\"");
        let mut next = order.into_iter();
        let mut reordered = |pattern: &Words| {
            let word = |word: &Word| match word {
                Word::Any(_) => Word::Any(next.next().expect("as many")),
                other => other.clone(),
            };
            pattern.iter().map(word).collect::<Words>()
        };
        // The numbers are places of the exporter's wildcards for a stream, of the importer's for a service.
        if self.service {
            self.theirs = reordered(&self.theirs);
            self.ours = shape;
        } else {
            self.ours = reordered(&shape);
        }
    }
}

fn mappings_text(account: &Account) -> String {
    let mut text = String::new();
    for mapping in &account.mappings {
        let way = |(share, way): &(u32, Words)| {
            format!("{{dest: \"{}\", weight: {share}%}}", numbered_text(way))
        };
        let ways: Vec<String> = mapping.ways.iter().map(way).collect();
        let source = pattern_text(&mapping.source);
        let _ = match mapping.ways.as_slice() {
            [(100, way)] => write!(text, " \"{source}\": \"{}\"", numbered_text(way)),
            _ => write!(text, " \"{source}\": [{}]", ways.join(", ")),
        };
        text += "\n     ";
    }
    text
}

fn random_export(rng: &mut Rng, accounts: usize) -> Export {
    let service = rng.chance(500);
    let some = |rng: &mut Rng| {
        (0..rng.range(1, 2))
            .map(|_| rng.range(1, accounts - 1))
            .collect()
    };
    Export {
        service,
        subject: random_pattern(rng, !service),
        accounts: rng.chance(250).then(|| some(rng)),
        response: rng.pick(&["singleton", "singleton", "stream", "chunked"]),
    }
}

/// A pattern; `wide` ones may begin with a wildcard.
pub fn random_pattern(rng: &mut Rng, wide: bool) -> Words {
    let count = rng.range(1, 4);
    let mut words = Words::new();
    for at in 0..count {
        words.push(match (at, rng.below(10)) {
            (0, 0) if wide => Word::Any(0),
            (0, 1) if wide => Word::Rest,
            (0, _) => Word::Is(rng.pick(&FIRST).to_owned()),
            (_, 0..5) => Word::Any(0),
            (_, 5) => Word::Rest,
            _ => Word::Is(rng.pick(&LATER).to_owned()),
        });
        if words.last() == Some(&Word::Rest) {
            break;
        }
    }
    renumbered(&words)
}

/// A pattern with fewer subjects, or the same.
fn narrowed(rng: &mut Rng, pattern: &Words) -> Words {
    let mut words = Words::new();
    let some = |rng: &mut Rng, first: bool| {
        let from = if first { &FIRST } else { &LATER };
        Word::Is(rng.pick(from).to_owned())
    };
    for (at, word) in pattern.iter().enumerate() {
        match word {
            Word::Any(_) if rng.chance(300) => words.push(some(rng, at == 0)),
            Word::Rest if rng.chance(500) => {
                words.push(match rng.chance(500) {
                    true => Word::Any(0),
                    false => some(rng, at == 0),
                });
                if rng.chance(300) {
                    words.push(Word::Rest);
                }
            }
            other => words.push(other.clone()),
        }
    }
    renumbered(&words)
}

/// Where a mapping leads: wildcards may be left out, or stand twice.
fn destination(rng: &mut Rng, source: &Words) -> Words {
    if rng.chance(100) {
        let literal = wildcards(source).is_empty();
        if literal {
            return source.clone();
        }
    }
    let numbers = wildcards(source);
    let mut words = vec![Word::Is(rng.pick(&FIRST).to_owned())];
    for _ in 0..rng.below(3) {
        words.push(match rng.below(8) {
            0..5 if !numbers.is_empty() => Word::Any(rng.pick(&numbers)),
            5 if !numbers.is_empty() => Word::Part {
                of: 3,
                by: rng.pick(&numbers),
            },
            _ => Word::Is(rng.pick(&LATER).to_owned()),
        });
    }
    if source.last() == Some(&Word::Rest) {
        words.push(Word::Rest);
    }
    words
}
