//! From the configuration and the environment to a client of the SDK: region, credentials, endpoint, proxy.

use std::env;
use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::imds;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{ProvideCredentials, RuntimeComponents, SharedHttpClient};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};

use crate::config::DynamodbConfig;
use crate::error::{Error, Kind, Result};
use crate::message::BackendName;

/// How long the metadata service of an instance may take; where there is none, nobody answers at all, and a
/// missing region shall be told within a second.
const METADATA_TIMEOUT: Duration = Duration::from_millis(250);
const MOST_CONNECT: Duration = Duration::from_secs(3);

/// Where a client leads to, for errors.
pub(super) struct Connected {
    pub(super) client: Client,
    pub(super) place: String,
}

/// Makes a client, from the standard chain where the configuration says nothing.
///
/// # Errors
/// No region (`Config`), no credentials (`Authentication`).
pub(super) async fn connect(config: &DynamodbConfig) -> Result<Connected> {
    let http = http_client();
    let provider = ProviderConfig::without_region().with_http_client(http.clone());
    let metadata = imds::Client::builder()
        .configure(&provider)
        .connect_timeout(METADATA_TIMEOUT)
        .read_timeout(METADATA_TIMEOUT)
        .max_attempts(1)
        .build();
    let region = region(config, &provider, &metadata).await?;
    let mut chain = DefaultCredentialsChain::builder()
        .configure(provider)
        .imds_client(metadata)
        .region(region.clone());
    if let Some(profile) = &config.profile {
        chain = chain.profile_name(profile);
    }
    let chain = chain.build().await;
    if let Err(cause) = chain.provide_credentials().await {
        return Err(no_credentials(config, &super::error::causes(&cause)));
    }
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(config.timeout.min(MOST_CONNECT))
        .build();
    // The queue and the calls here repeat by rules of their own; the SDK's would count against the same time.
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .region(region.clone())
        .credentials_provider(chain)
        .retry_config(RetryConfig::disabled())
        // Every attempt has a deadline already.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .timeout_config(timeouts);
    if let Some(profile) = &config.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(url) = &config.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    let settings = loader.load().await;
    let place = match settings.endpoint_url() {
        Some(url) => format!("{url} (region {region})"),
        None => format!("AWS in region {region}"),
    };
    Ok(Connected {
        client: Client::new(&settings),
        place,
    })
}

async fn region(
    config: &DynamodbConfig,
    provider: &ProviderConfig,
    metadata: &imds::Client,
) -> Result<Region> {
    let mut profile = ProfileFileRegionProvider::builder().configure(provider);
    if let Some(name) = &config.profile {
        profile = profile.profile_name(name);
    }
    let instance = ImdsRegionProvider::builder()
        .configure(provider)
        .imds_client(metadata.clone())
        .build();
    let chain = RegionProviderChain::first_try(config.region.clone().map(Region::new))
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(profile.build())
        .or_else(instance);
    chain.region().await.ok_or_else(|| {
        let text = "dynamodb.region: not set, and the environment names none. Set it (such as \"eu-central-1\"), or \
                    AWS_REGION, or a region in the profile. DynamoDB Local takes any.";
        Error::new(Kind::Config, text)
    })
}

fn no_credentials(config: &DynamodbConfig, cause: &str) -> Error {
    let profile = match &config.profile {
        Some(profile) => format!(" (profile '{profile}')"),
        None => String::new(),
    };
    let text = format!(
        "no credentials{profile}: {cause}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, dynamodb.profile, or a role \
         of the container or instance. DynamoDB Local takes any."
    );
    Error::backend(Kind::Authentication, BackendName::Dynamodb, false, text)
}

/// A client for HTTPS, through the proxy that the environment names, if any. Plain HTTP, which an emulator and
/// the metadata service of an instance speak, never goes through one, and this machine is not looked for there.
fn http_client() -> SharedHttpClient {
    Builder::new().build_with_connector_fn(|settings, components| {
        let mut connector = Connector::builder();
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector
            .proxy_config(proxy())
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build()
    })
}

fn proxy() -> ProxyConfig {
    let given = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let url = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
        .into_iter()
        .find_map(given);
    let Some(Ok(proxy)) = url.map(ProxyConfig::https) else {
        return ProxyConfig::disabled();
    };
    let spared = given("NO_PROXY").or_else(|| given("no_proxy"));
    let here = "localhost,127.0.0.0/8,::1";
    proxy.no_proxy(match spared {
        Some(spared) => format!("{spared},{here}"),
        None => here.to_owned(),
    })
}
