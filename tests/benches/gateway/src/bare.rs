//! A bare axum echo of the same JSON, typed by serde: what a request costs that is read and answered and nothing more.

use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

#[derive(Serialize, Deserialize)]
struct Small {
    name: String,
    count: i32,
    active: bool,
    weight: f64,
    note: String,
}

#[derive(Serialize, Deserialize)]
struct Medium {
    name: String,
    customer: Customer,
    items: Vec<Item>,
    tags: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Customer {
    id: String,
    email: String,
    address: Address,
}

#[derive(Serialize, Deserialize)]
struct Address {
    street: String,
    city: String,
    country: String,
}

#[derive(Serialize, Deserialize)]
struct Item {
    id: String,
    #[serde(with = "number_text")]
    size: i64,
    weight: f64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    fragile: bool,
    labels: HashMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct Large {
    #[serde(with = "base64_text")]
    data: Vec<u8>,
}

/// The router that echoes each size on its path.
pub fn router() -> Router {
    Router::new()
        .route("/v1/small", post(|Json(message): Json<Small>| async move { Json(message) }))
        .route("/v1/medium", post(|Json(message): Json<Medium>| async move { Json(message) }))
        .route("/v1/large", post(|Json(message): Json<Large>| async move { Json(message) }))
}

/// 64-bit integers as canonical proto3 JSON has them.
mod number_text {
    use serde::{Deserializer, Serializer, de};
    use std::borrow::Cow;

    pub(super) fn serialize<S: Serializer>(number: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        let text: Cow<'de, str> = de::Deserialize::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// Bytes as canonical proto3 JSON has them.
mod base64_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserializer, Serializer, de};
    use std::borrow::Cow;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text: Cow<'de, str> = de::Deserialize::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map_err(de::Error::custom)
    }
}
