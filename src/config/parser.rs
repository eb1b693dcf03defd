//! Owns the nesting of a configuration: maps, arrays, variables, includes; makes the tree of values.
//! Never knows what a setting means.
//!
//! Faults are collected, not thrown: after a bad value the parser goes on behind it, after a bad
//! statement with the next line, and it gives a file up only inside of brackets.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::lexer::{Fault, Key, Lexer, Scalar, Scope};
use super::value::{Array, Entry, Kind, Map, Value};
use super::{ConfigError, Position};

/// Brackets, includes and variables within each other: deeper is refused (the oracle has no bound).
const DEPTH_MAX: usize = 100;

/// What a configuration is read from.
#[derive(Clone, Copy)]
pub(super) struct Sources<'s> {
    /// The value of an environment variable.
    pub(super) env: &'s dyn Fn(&str) -> Option<String>,
    /// The content of a file.
    pub(super) read: &'s dyn Fn(&Path) -> io::Result<Vec<u8>>,
}

/// The tree of a configuration and what was wrong with it.
pub(super) struct Parsed {
    pub(super) map: Map,
    pub(super) errors: Vec<ConfigError>,
    /// Statements could not be read: a key that seems unused may be a variable of theirs.
    pub(super) partial: bool,
    /// Variables that were referred to and not found: a key of that name comes too late, that is all.
    pub(super) missing: HashSet<String>,
}

/// Parses the file at `path` and all it includes.
pub(super) fn parse(path: &Path, sources: Sources<'_>) -> Parsed {
    let mut run = Run {
        sources,
        errors: Vec::new(),
        partial: false,
        missing: HashSet::new(),
        files: Vec::new(),
        variables: Vec::new(),
        depth: 0,
    };
    let start = Position {
        file: display(path),
        line: 1,
        column: 1,
    };
    let map = run.file(path, &start).unwrap_or_else(Map::new);
    Parsed {
        map,
        errors: run.errors,
        partial: run.partial,
        missing: run.missing,
    }
}

/// What is shared by the parsers of all files and environment variables.
struct Run<'s> {
    sources: Sources<'s>,
    errors: Vec<ConfigError>,
    partial: bool,
    missing: HashSet<String>,
    /// Files being read, outermost first.
    files: Vec<PathBuf>,
    /// Environment variables being read, outermost first.
    variables: Vec<String>,
    depth: usize,
}

impl Run<'_> {
    /// Reads and parses one file; `at` is where it was asked for. Errors are kept here.
    fn file(&mut self, path: &Path, at: &Position) -> Option<Map> {
        let map = self.whole_file(path, at);
        self.partial |= map.is_none();
        map
    }

    fn whole_file(&mut self, path: &Path, at: &Position) -> Option<Map> {
        if self.files.iter().any(|f| f == path) {
            self.error(at, format!("\"{}\" includes itself", path.display()));
            return None;
        }
        let bytes = match (self.sources.read)(path) {
            Ok(bytes) => bytes,
            Err(e) => {
                self.error(at, format!("\"{}\" cannot be read: {e}", path.display()));
                return None;
            }
        };
        let text = self.checked_text(&bytes, display(path))?;
        self.files.push(path.to_owned());
        let map = self.document(Lexer::new(text, display(path)), directory(path));
        self.files.pop();
        Some(map)
    }

    /// The text of a file, which must be UTF-8 without NUL.
    fn checked_text<'b>(&mut self, bytes: &'b [u8], file: Arc<str>) -> Option<&'b str> {
        let (valid, sentence) = match std::str::from_utf8(bytes) {
            Ok(text) => match memchr::memchr(0, bytes) {
                None => return Some(text),
                Some(nul) => (nul, "there is a NUL byte here"),
            },
            Err(e) => (e.valid_up_to(), "the file is not UTF-8 from here on"),
        };
        let before = std::str::from_utf8(&bytes[..valid]).unwrap_or("");
        let at = Lexer::new(before, file).position(before.len());
        self.error(&at, sentence.into());
        None
    }

    /// Parses a whole text.
    fn document(&mut self, lexer: Lexer<'_>, directory: PathBuf) -> Map {
        let mut parser = Parser {
            run: self,
            lexer,
            directory,
            scopes: vec![Map::new()],
            secret: false,
            within_secret: false,
        };
        parser.document();
        parser.scopes.swap_remove(0)
    }

    fn error(&mut self, at: &Position, text: String) {
        self.errors.push(ConfigError {
            at: at.clone(),
            text,
        });
    }
}

/// The parser of one text.
struct Parser<'a, 'r, 's> {
    run: &'r mut Run<'s>,
    lexer: Lexer<'a>,
    /// Includes are relative to this directory.
    directory: PathBuf,
    /// The maps being filled, outermost first. Variables are looked up in them, innermost first.
    scopes: Vec<Map>,
    /// The value being read belongs to a key whose value is never printed.
    secret: bool,
    /// The same of a key around the present map.
    within_secret: bool,
}

/// Where a statement stands: the rules on new lines differ.
#[derive(Clone, Copy, PartialEq)]
enum Inside {
    File,
    Map,
}

impl Parser<'_, '_, '_> {
    fn document(&mut self) {
        let depth = self.run.depth;
        loop {
            self.lexer.skip_spaces();
            if self.lexer.peek().is_none() {
                return;
            }
            let Err(fault) = self.statement() else {
                continue;
            };
            let nested = self.run.depth > depth;
            self.run.depth = depth;
            let scope = fault.scope;
            self.report(fault);
            self.within_secret = false;
            if nested || scope == Scope::Rest || self.lexer.skip_line() {
                return;
            }
        }
    }

    /// One statement of the outermost level.
    fn statement(&mut self) -> Result<(), Fault> {
        if self.lexer.skip_comment() {
            return Ok(());
        }
        if self.lexer.peek() == Some(b'{') {
            return self.braces();
        }
        self.entry(Inside::File)?;
        self.after_entry()
    }

    /// Braces around settings of the outermost level, as in JSON.
    fn braces(&mut self) -> Result<(), Fault> {
        let opened = self.lexer.offset();
        self.enter()?;
        self.lexer.bump();
        loop {
            self.lexer.skip_spaces();
            let closed = match self.lexer.peek() {
                None => return Err(unclosed(opened, '{')),
                Some(b'}') => {
                    self.lexer.bump();
                    true
                }
                Some(b'{') => {
                    self.braces()?;
                    self.after_in_braces(opened)?
                }
                Some(_) if self.lexer.skip_comment() => false,
                Some(_) => {
                    self.entry(Inside::File)?;
                    self.after_in_braces(opened)?
                }
            };
            if closed {
                self.leave();
                return Ok(());
            }
        }
    }

    /// What may follow an entry in braces. True if they are closed.
    fn after_in_braces(&mut self, opened: usize) -> Result<bool, Fault> {
        loop {
            match self.lexer.peek() {
                None => return Err(unclosed(opened, '{')),
                Some(b'}') => {
                    self.lexer.bump();
                    return Ok(true);
                }
                Some(b'\n' | b'\r' | b';' | b',') => {
                    self.lexer.bump();
                    return Ok(false);
                }
                Some(_) if self.lexer.skip_comment() => {}
                Some(b' ' | b'\t' | b'/') => self.lexer.bump(),
                Some(_) => return Err(self.unexpected("a new line, ',' or '}'")),
            }
        }
    }

    /// What may follow an entry of the outermost level.
    fn after_entry(&mut self) -> Result<(), Fault> {
        loop {
            match self.lexer.peek() {
                None => return Ok(()),
                // A closing brace too many is taken, as the oracle takes it.
                Some(b'\n' | b'\r' | b';' | b',' | b'}') => {
                    self.lexer.bump();
                    return Ok(());
                }
                Some(_) if self.lexer.skip_comment() => return Ok(()),
                Some(b' ' | b'\t' | b'/') => self.lexer.bump(),
                Some(_) => return Err(self.unexpected("a new line after this value")),
            }
        }
    }

    /// `key value`, or an include.
    fn entry(&mut self, inside: Inside) -> Result<(), Fault> {
        let key = self.lexer.key()?;
        let within_secret = self.within_secret;
        self.secret = within_secret || is_secret(key.text);
        let spaced = self.lexer.peek_char().is_some_and(char::is_whitespace);
        if !key.quoted && spaced && key.text.eq_ignore_ascii_case("include") {
            return self.include(key.at);
        }
        let at = self.lexer.position(key.at);
        self.lexer.skip_spaces();
        let separated = self.lexer.skip_separator();
        match inside {
            Inside::Map => self.lexer.skip_spaces(),
            Inside::File if separated => self.lexer.skip_blanks(),
            Inside::File => {}
        }
        match self.lexer.peek() {
            None if inside == Inside::File && separated => {}
            // A closing brace too many at the end is taken, as the oracle takes it.
            None if inside == Inside::File && key.text == "}" => return Ok(()),
            None => return Err(no_value(&key, within_secret)),
            Some(b'\n' | b'\r') => {
                // The next line is the value, most likely: it is neither read nor printed.
                self.lexer.skip_spaces();
                return Err(no_value(&key, within_secret));
            }
            Some(b',' | b'}') if inside == Inside::Map => {
                return Err(no_value(&key, within_secret));
            }
            _ => {}
        }
        self.within_secret = self.secret;
        let value = self.value()?;
        self.within_secret = within_secret;
        self.set(
            key.text.into(),
            Entry {
                at,
                value,
                used: false,
            },
        );
        Ok(())
    }

    fn value(&mut self) -> Result<Value, Fault> {
        let offset = self.lexer.offset();
        let at = self.lexer.position(offset);
        let kind = match self.lexer.peek() {
            Some(b'[') => self.array()?,
            Some(b'{') => self.map()?,
            _ => self.scalar(&at)?,
        };
        if self.run.depth + kind.height() > DEPTH_MAX {
            self.run
                .error(&at, format!("nested more than {DEPTH_MAX} levels deep"));
            return Ok(Value {
                kind: Kind::Bad,
                at,
            });
        }
        Ok(Value { kind, at })
    }

    fn array(&mut self) -> Result<Kind, Fault> {
        let opened = self.lexer.offset();
        self.enter()?;
        self.lexer.bump();
        let mut items = Vec::new();
        loop {
            self.lexer.skip_spaces();
            match self.lexer.peek() {
                None => return Err(unclosed(opened, '[')),
                Some(b']') => break,
                Some(_) if self.lexer.skip_comment() => continue,
                Some(b',' | b'/') => return Err(self.unexpected("a value or ']'")),
                Some(_) => items.push(self.value()?),
            }
            if self.after_item(opened)? {
                break;
            }
        }
        self.lexer.bump();
        self.leave();
        Ok(Kind::Array(Rc::new(Array::new(items))))
    }

    /// What may follow a value of an array. True at its end.
    fn after_item(&mut self, opened: usize) -> Result<bool, Fault> {
        loop {
            self.lexer.skip_blanks();
            match self.lexer.peek() {
                None => return Err(unclosed(opened, '[')),
                Some(b']') => return Ok(true),
                Some(_) if self.lexer.skip_comment() => {}
                Some(b',' | b'\n' | b'\r' | b'/') => {
                    self.lexer.bump();
                    return Ok(false);
                }
                Some(_) => return Err(self.unexpected("',' or ']' after this value")),
            }
        }
    }

    fn map(&mut self) -> Result<Kind, Fault> {
        let opened = self.lexer.offset();
        self.enter()?;
        self.lexer.bump();
        self.scopes.push(Map::new());
        loop {
            self.lexer.skip_spaces();
            match self.lexer.peek() {
                None => return Err(unclosed(opened, '{')),
                Some(b'}') => break,
                Some(b']') => return Err(self.unexpected("a key or '}'")),
                Some(_) if self.lexer.skip_comment() => continue,
                Some(_) => self.entry(Inside::Map)?,
            }
            if self.after_in_map(opened)? {
                break;
            }
        }
        self.lexer.bump();
        self.leave();
        Ok(Kind::Map(Rc::new(
            self.scopes.pop().unwrap_or_else(Map::new),
        )))
    }

    /// What may follow an entry of a map. True at its end.
    fn after_in_map(&mut self, opened: usize) -> Result<bool, Fault> {
        loop {
            self.lexer.skip_blanks();
            match self.lexer.peek() {
                None => return Err(unclosed(opened, '{')),
                Some(b'}') => return Ok(true),
                Some(_) if self.lexer.skip_comment() => {}
                Some(b',' | b';' | b'\n' | b'\r' | b'/') => {
                    self.lexer.bump();
                    return Ok(false);
                }
                Some(_) => return Err(self.unexpected("a new line, ',' or '}'")),
            }
        }
    }

    fn scalar(&mut self, at: &Position) -> Result<Kind, Fault> {
        Ok(match self.lexer.scalar() {
            Ok(Scalar::Text(text)) => Kind::Text(text.into()),
            Ok(Scalar::Integer(number)) => Kind::Integer(number),
            Ok(Scalar::Float(number)) => Kind::Float(number),
            Ok(Scalar::Boolean(boolean)) => Kind::Boolean(boolean),
            Ok(Scalar::Time(text)) => Kind::Time(text.into()),
            Ok(Scalar::Variable(name)) => self.variable(name, at),
            Err(fault) if fault.scope == Scope::Value => {
                self.report(fault);
                Kind::Bad
            }
            Err(fault) => return Err(fault),
        })
    }

    /// What `$name` stands for: an earlier key of this map or of one around it, or the environment.
    fn variable(&mut self, name: &str, at: &Position) -> Kind {
        // A bcrypt hash may stand without quotes.
        if name.starts_with("2a$") {
            return Kind::Text(format!("${name}").into());
        }
        if let Some(kind) = self
            .scopes
            .iter_mut()
            .rev()
            .find_map(|scope| scope.refer(name))
        {
            return kind;
        }
        match self.environment(name, at) {
            Ok(kind) => kind,
            Err(sentence) => {
                self.run.error(at, sentence);
                Kind::Bad
            }
        }
    }

    /// An environment variable's text is read as a value of the language.
    fn environment(&mut self, name: &str, at: &Position) -> Result<Kind, String> {
        let called = match self.secret {
            true => "the variable".to_owned(),
            false => format!("the variable \"${name}\""),
        };
        if name.starts_with("2b$") || name.starts_with("2y$") {
            return Err("a bcrypt hash that does not begin with $2a$ must be quoted".into());
        }
        if self.run.variables.iter().any(|v| v == name) {
            return Err(format!("{called} refers to itself"));
        }
        if self.run.depth >= DEPTH_MAX {
            return Err(format!("nested more than {DEPTH_MAX} levels deep"));
        }
        let Some(text) = (self.run.sources.env)(name) else {
            self.run.missing.insert(name.to_owned());
            return Err(format!(
                "{called} is defined neither above nor in the environment \
                 (quote it if it is text)"
            ));
        };
        let text = format!("{ENVIRONMENT_KEY}={text}");
        let (faults, partial) = (self.run.errors.len(), self.run.partial);
        self.run.variables.push(name.to_owned());
        self.run.depth += 1;
        let map = self
            .run
            .document(Lexer::fixed(&text, at.clone()), directory(Path::new("")));
        self.run.depth -= 1;
        self.run.variables.pop();
        let value = map
            .get(ENVIRONMENT_KEY)
            .map(|entry| entry.value.kind.clone());
        let whole = self.run.errors.len() == faults && !text.contains('\0');
        // The faults inside are not told: they could quote a secret.
        self.run.errors.truncate(faults);
        self.run.partial = partial;
        value.filter(|_| whole).ok_or_else(|| {
            format!(
                "{called} of the environment does not hold a value (quote it there if it is text)"
            )
        })
    }

    fn include(&mut self, at: usize) -> Result<(), Fault> {
        let path = self.lexer.include_path()?;
        let path = clean_join(&self.directory, path);
        let at = self.lexer.position(at);
        if self.run.depth >= DEPTH_MAX {
            self.run
                .error(&at, format!("nested more than {DEPTH_MAX} levels deep"));
            return Ok(());
        }
        self.run.depth += 1;
        let map = self.run.file(&path, &at);
        self.run.depth -= 1;
        for (key, entry) in map.into_iter().flat_map(Map::into_entries) {
            self.set(key, entry);
        }
        Ok(())
    }

    fn set(&mut self, key: Rc<str>, entry: Entry) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.set(key, entry);
        }
    }

    fn enter(&mut self) -> Result<(), Fault> {
        self.run.depth += 1;
        if self.run.depth <= DEPTH_MAX {
            return Ok(());
        }
        let text = format!("nested more than {DEPTH_MAX} levels deep");
        Err(Fault {
            at: self.lexer.offset(),
            text,
            culprit: None,
            scope: Scope::Rest,
        })
    }

    fn leave(&mut self) {
        self.run.depth -= 1;
    }

    fn unexpected(&self, expected: &str) -> Fault {
        Fault {
            at: self.lexer.offset(),
            text: format!("expected {expected}"),
            culprit: self.lexer.peek_char(),
            scope: Scope::Statement,
        }
    }

    fn report(&mut self, fault: Fault) {
        self.run.partial |= fault.scope != Scope::Value;
        let at = self.lexer.position(fault.at);
        let text = match fault.culprit {
            Some(culprit) if !self.secret => format!("{}, not {culprit:?}", fault.text),
            _ => fault.text,
        };
        self.run.error(&at, text);
    }
}

/// The key under which an environment variable's text is parsed; it can refer to it, to no effect.
const ENVIRONMENT_KEY: &str = "pk";

fn unclosed(at: usize, bracket: char) -> Fault {
    Fault {
        at,
        text: format!("this '{bracket}' is never closed"),
        culprit: None,
        scope: Scope::Rest,
    }
}

fn no_value(key: &Key<'_>, secret: bool) -> Fault {
    let name = if secret {
        String::new()
    } else {
        named(key.text)
    };
    let text = format!("the key{name} has no value");
    Fault {
        at: key.at,
        text,
        culprit: None,
        scope: Scope::Statement,
    }
}

/// A key for a sentence. Nothing if it does not look like a name: where a quote is missing, a key can be
/// half a file with its secrets.
pub(super) fn named(key: &str) -> String {
    let name = key.len() <= 40
        && key
            .chars()
            .all(|c| c.is_alphanumeric() || "_-. {}$/".contains(c));
    if name {
        format!(" {key:?}")
    } else {
        String::new()
    }
}

/// Keys whose values are never printed.
fn is_secret(key: &str) -> bool {
    ["pass", "password", "token"]
        .iter()
        .any(|k| key.eq_ignore_ascii_case(k))
}

fn display(path: &Path) -> Arc<str> {
    path.to_string_lossy().into()
}

fn directory(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_owned()
}

/// `name` within `directory`, even if it is absolute, without `.` and needless `..`.
fn clean_join(directory: &Path, name: &str) -> PathBuf {
    use std::path::Component;
    let mut clean = PathBuf::new();
    let relative = name.trim_start_matches('/');
    for component in directory.join(relative).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => match clean.components().next_back() {
                Some(Component::Normal(_)) => {
                    clean.pop();
                }
                Some(Component::RootDir) => {}
                _ => clean.push(".."),
            },
            other => clean.push(other),
        }
    }
    clean
}
