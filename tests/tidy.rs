//! Holds the shape of the source: imports go downward, unsafe stays in `src/shard`, pure parts stay pure, files
//! stay short and say what they own.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules from the top to the bottom; each may import those below it. Those on one line may not import each other.
const LAYERS: &[&[&str]] = &[
    &["main"],
    &["bench"],
    &["control", "explain"],
    &["cli"],
    &["shard"],
    &["session"],
    &["broker"],
    &["account"],
    &["auth"],
    &["config"],
    &["proto", "subject", "transport"],
];

/// Longer than this only with the reason at the top of the file: a line that begins with `//! Long because`.
const LINES_MAX: usize = 800;

#[test]
fn imports_go_downward() {
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        let Some(level) = level_of(&module_of(&path)) else {
            continue;
        };
        for (line, used) in imports(&text) {
            let own = used == module_of(&path);
            // `cli` names the program in messages of `control`; boot and log take it from there.
            if !own && level_of(&used).is_some_and(|used_level| used_level <= level) {
                wrong.push(format!("{}:{line}: imports {used}", path.display()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "imports that do not go downward:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn unsafe_is_at_home_in_shard() {
    for (path, text) in sources("src") {
        let has_unsafe = text.lines().any(|line| {
            let code = line.split("//").next().unwrap_or_default();
            code.split(|c: char| !c.is_alphanumeric() && c != '_')
                .any(|word| word == "unsafe")
        });
        let at_home = path.starts_with("src/shard");
        assert!(
            !has_unsafe || at_home,
            "{}: unsafe outside src/shard",
            path.display()
        );
    }
}

#[test]
fn below_shard_everything_is_pure() {
    const IMPURE: &[&str] = &[
        "Instant::now",
        "SystemTime",
        "std::net::Tcp",
        "std::thread",
        "getrandom",
        "std::env",
    ];
    let level = level_of("shard").expect("listed");
    for (path, text) in sources("src") {
        if level_of(&module_of(&path)).is_none_or(|own| own <= level) || is_test(&path) {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for word in IMPURE {
            assert!(
                !code.contains(word),
                "{}: {word} in a pure module",
                path.display()
            );
        }
    }
}

#[test]
fn files_say_what_they_own_and_stay_short() {
    for (path, text) in sources("src").into_iter().chain(sources("tests")) {
        let lines = text.lines().count();
        let excused = text
            .lines()
            .any(|line| line.starts_with("//! Long because"));
        assert!(
            lines <= LINES_MAX || excused,
            "{}: {lines} lines",
            path.display()
        );
        assert!(
            is_test(&path) || text.starts_with("//!"),
            "{}: the first line says nothing",
            path.display()
        );
    }
}

#[test]
fn nothing_is_left_open() {
    for (path, text) in sources("src") {
        for word in ["todo!(", "unimplemented!(", "FIXME"] {
            assert!(!text.contains(word), "{}: {word}", path.display());
        }
    }
}

fn is_test(path: &Path) -> bool {
    let name = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    name.ends_with("tests") || name == "conformance"
}

/// `src/broker/publish.rs` → `broker`.
fn module_of(path: &Path) -> String {
    let mut parts = path.components().skip(1);
    let first = parts
        .next()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .unwrap_or_default();
    first.trim_end_matches(".rs").to_string()
}

fn level_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Every `crate::module` of a file, with its line.
fn imports(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for part in code.split("crate::").skip(1) {
            let name: String = part
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            found.push((at + 1, name));
        }
    }
    found
}

fn sources(dir: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut dirs = vec![PathBuf::from(dir)];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("the directory is readable") {
            let path = entry.expect("an entry").path();
            if path.is_dir()
                && path
                    .file_name()
                    .is_none_or(|name| name != "target" && name != "node_modules")
            {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a text file");
                found.push((path, text));
            }
        }
    }
    found
}

/// README's tables of flags are the registry's. `GANNET_UPDATE=1` writes them.
#[test]
fn readme_has_the_flags() {
    let readme = fs::read_to_string("README.md").expect("README.md");
    let tables = [
        ("flags", gannet::cli::markdown_table()),
        ("explain's flags", gannet::cli::explain_markdown_table()),
    ];
    let mut expected = readme.clone();
    for (name, table) in tables {
        let (start, end) = (
            format!("<!-- {name} -->\n"),
            format!("<!-- end of {name} -->\n"),
        );
        let (head, rest) = expected
            .split_once(&start)
            .expect("the mark where flags begin");
        let (_, tail) = rest.split_once(&end).expect("the mark where flags end");
        expected = format!("{head}{start}\n{}\n{end}{tail}", table.trim_end());
    }
    if std::env::var_os("GANNET_UPDATE").is_some() {
        fs::write("README.md", &expected).expect("README.md can be written");
    } else {
        assert!(
            readme == expected,
            "README's flags are not the registry's: GANNET_UPDATE=1 cargo test --test tidy"
        );
    }
}
