//! INFO and CONNECT: the JSON either side opens with.
