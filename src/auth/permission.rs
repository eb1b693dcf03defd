//! Compiled permissions: may this user publish, subscribe, receive?
