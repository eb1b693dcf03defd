//! Owns the measurements of large configurations of accounts: from text to configuration, and from there to the tables.
//! What they take of memory is `memory.rs`'s.

mod many_accounts;

use criterion::{Criterion, criterion_group, criterion_main};
use gannet::account::compiler::compile;

const ACCOUNTS: usize = 10_000;
const IMPORTS: usize = 10;

fn tables(criterion: &mut Criterion) {
    let text = many_accounts::text(ACCOUNTS, IMPORTS);
    let config = many_accounts::load(&text);
    let mut group = criterion.benchmark_group("10,000 accounts with 10 imports each");
    group.sample_size(10);
    group.bench_function("load and check", |bencher| {
        bencher.iter(|| many_accounts::load(&text));
    });
    group.bench_function("compile", |bencher| {
        bencher.iter(|| compile(&config, None).expect("it compiles"));
    });
    group.finish();
}

criterion_group!(benches, tables);
criterion_main!(benches);
