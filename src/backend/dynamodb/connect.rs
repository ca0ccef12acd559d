//! From the configuration and the environment to a client of the SDK: region, credentials, endpoint, proxy.

use crate::sync::Mutex;
use std::env;
use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::identity::IdentityCache;
use aws_config::imds;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future::ProvideCredentials as ProvideFuture;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Credentials, RuntimeComponents, SharedHttpClient};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};

use super::error::{Failure, Next};
use crate::config::DynamodbConfig;
use crate::error::{Error, Kind, Result};
use crate::wait;

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
pub(super) async fn connect(config: &DynamodbConfig) -> Result<Connected, Failure> {
    let (proxy, proxy_host) = proxy()?;
    let http = http_client(proxy);
    let provider = ProviderConfig::without_region().with_http_client(http.clone());
    let metadata = imds::Client::builder()
        .configure(&provider)
        .connect_timeout(METADATA_TIMEOUT)
        .read_timeout(4 * METADATA_TIMEOUT)
        .max_attempts(1)
        .build();
    let region = region(config, &provider, &metadata).await?;
    let credentials = credentials(config, provider, metadata, &region).await?;
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(config.timeout.min(MOST_CONNECT))
        .build();
    // The queue and the calls here repeat by rules of their own; the SDK's would count against the same time.
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .region(region.clone())
        .credentials_provider(credentials)
        .identity_cache(IdentityCache::lazy().load_timeout(config.timeout).build())
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
    let endpoint = settings.endpoint_url().map(str::to_owned);
    // The one for this service alone is known to its client only.
    let endpoint = endpoint.or_else(|| env::var("AWS_ENDPOINT_URL_DYNAMODB").ok());
    let place = match endpoint {
        Some(url) => format!("{} (region {region})", without_user(&url)),
        None => format!("AWS in region {region}"),
    };
    let here = [
        "http://",
        "https://localhost",
        "https://127.",
        "https://[::1]",
    ];
    let place = match proxy_host {
        Some(host) if !here.iter().any(|start| place.starts_with(start)) => {
            format!("{place} through the proxy {host}")
        }
        _ => place,
    };
    Ok(Connected {
        client: Client::new(&settings),
        place,
    })
}

/// A URL for a text: a password in it is not shown.
fn without_user(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        _ => url.to_owned(),
    }
}

async fn region(
    config: &DynamodbConfig,
    provider: &ProviderConfig,
    metadata: &imds::Client,
) -> Result<Region, Failure> {
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
        Failure {
            error: Error::new(Kind::Config, text),
            ..Failure::new(Kind::Config, Next::Stop, text)
        }
    })
}

/// The credentials of the profile that the configuration names, or of the standard chain; loaded once, so that what
/// is missing is told by name.
async fn credentials(
    config: &DynamodbConfig,
    provider: ProviderConfig,
    metadata: imds::Client,
    region: &Region,
) -> Result<Seeded, Failure> {
    let source = if let Some(profile) = &config.profile {
        let provider = provider.with_region(Some(region.clone()));
        let profile = ProfileFileCredentialsProvider::builder()
            .configure(&provider)
            .profile_name(profile)
            .build();
        SharedCredentialsProvider::new(profile)
    } else {
        let chain = DefaultCredentialsChain::builder()
            .configure(provider)
            .imds_client(metadata)
            .region(region.clone());
        SharedCredentialsProvider::new(chain.build().await)
    };
    match source.provide_credentials().await {
        Ok(first) => Ok(Seeded {
            first: Mutex::new(Some(first)),
            source,
        }),
        Err(cause) => Err(no_credentials(config, &cause)),
    }
}

/// A source of credentials whose first answer is there already.
#[derive(Debug)]
struct Seeded {
    first: Mutex<Option<Credentials>>,
    source: SharedCredentialsProvider,
}

impl ProvideCredentials for Seeded {
    fn provide_credentials<'a>(&'a self) -> ProvideFuture<'a>
    where
        Self: 'a,
    {
        match wait::lock(&self.first).take() {
            Some(first) => ProvideFuture::ready(Ok(first)),
            None => self.source.provide_credentials(),
        }
    }
}

fn no_credentials(config: &DynamodbConfig, cause: &CredentialsError) -> Failure {
    let profile = match &config.profile {
        Some(profile) => format!(" (profile '{profile}')"),
        None => String::new(),
    };
    let why = super::error::causes(cause);
    let why = why.trim_end_matches('.');
    // A machine whose metadata service refuses to answer has no role: that will not pass.
    let forbidden = why.contains("IMDS is disabled") || why.contains("request forbidden");
    match cause {
        _ if forbidden => {
            let text = format!(
                "no credentials{profile}: none in the environment or a profile, and this machine has no role. Set both \
                 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or dynamodb.profile. DynamoDB Local takes any. ({why})"
            );
            Failure::new(Kind::Authentication, Next::Stop, text)
        }
        // Nothing is configured, or what is makes no sense.
        CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => {
            let text = format!(
                "no credentials{profile}: {why}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, dynamodb.profile, \
                 or a role of the container or instance. DynamoDB Local takes any."
            );
            Failure::new(Kind::Authentication, Next::Stop, text)
        }
        _ => {
            let text = format!(
                "the credentials{profile} cannot be had now: {why}. Check where they come from: the program, the \
                 container, the instance or the login."
            );
            Failure::new(Kind::Authentication, Next::Unreachable, text)
        }
    }
}

/// A client for HTTPS, through `proxy`. Plain HTTP, which an emulator and the metadata service of an instance
/// speak, never goes through one, and this machine is not looked for there.
fn http_client(proxy: ProxyConfig) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder();
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector
            .proxy_config(proxy.clone())
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build()
    })
}

/// The proxy that the environment names, if any, and its host for errors.
fn proxy() -> Result<(ProxyConfig, Option<String>), Failure> {
    let given = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let names = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let Some((name, url)) = names
        .into_iter()
        .find_map(|name| Some((name, given(name)?)))
    else {
        return Ok((ProxyConfig::disabled(), None));
    };
    let url = if url.contains("://") {
        url
    } else {
        format!("http://{url}")
    };
    let host = without_user(&url);
    let known = url.starts_with("http://") || url.starts_with("https://");
    let Some(proxy) = known.then(|| ProxyConfig::https(url).ok()).flatten() else {
        // Its value may hold a password.
        let text = format!(
            "the environment variable {name} is no address of an HTTP proxy. Write http://host:port, or unset it."
        );
        return Err(Failure {
            error: Error::new(Kind::Config, text.as_str()),
            ..Failure::new(Kind::Config, Next::Stop, text)
        });
    };
    let spared = given("NO_PROXY").or_else(|| given("no_proxy"));
    if spared.as_deref().map(str::trim) == Some("*") {
        return Ok((ProxyConfig::disabled(), None));
    }
    let here = "localhost,127.0.0.0/8,::1";
    let proxy = proxy.no_proxy(match spared {
        Some(spared) => format!("{spared},{here}"),
        None => here.to_owned(),
    });
    Ok((proxy, Some(host)))
}
