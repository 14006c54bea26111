//! The four messages that the clients send, with the fields that they set: neither Arsenal's crates nor etcd's protos are
//! needed to ask.

/// `arsenal.v1.RegisterProcessGloballyRequest`.
#[derive(prost::Message)]
pub struct RegisterProcessGloballyRequest {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub process: String,
    #[prost(bool, tag = "4")]
    pub allow_multiple: bool,
}

/// `arsenal.v1.GlobalWhereisNameRequest`.
#[derive(prost::Message)]
pub struct WhereisRequest {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(int32, tag = "2")]
    pub consistency: i32,
}

impl WhereisRequest {
    pub const LINEARIZABLE: i32 = 2;
}

/// `etcdserverpb.PutRequest`.
#[derive(prost::Message)]
pub struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `etcdserverpb.RangeRequest`: linearizable unless it says otherwise.
#[derive(prost::Message)]
pub struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
}
