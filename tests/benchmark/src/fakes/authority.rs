//! A certificate authority that lives as long as the run, and the certificate of the emulated services.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, RsaKeySize};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tempfile::TempDir;

/// The authority. Its private key never leaves the process; its certificate is a file for the functions to trust.
pub(crate) struct Authority {
    /// What a server needs to speak TLS on loopback.
    pub(crate) server: Arc<ServerConfig>,
    folder: TempDir,
}

impl Authority {
    /// Makes an authority and one certificate for 127.0.0.1. The keys are RSA keys of 2,048 bits, as those of AWS's
    /// certificates are.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        root.distinguished_name.push(DnType::CommonName, "Authority of the benchmark");
        let root_key = key()?;
        let root_certificate = root.self_signed(&root_key)?;
        let issuer = Issuer::new(root, root_key);

        let mut leaf = CertificateParams::new(["127.0.0.1".to_owned()])?;
        leaf.distinguished_name.push(DnType::CommonName, "Emulated services");
        leaf.use_authority_key_identifier_extension = true;
        let leaf_key = key()?;
        let leaf_certificate = leaf.signed_by(&leaf_key, &issuer)?;

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf_certificate.der().clone()],
                PrivatePkcs8KeyDer::from(leaf_key.serialize_der()).into(),
            )?;
        // DynamoDB and SQS offer no HTTP/2 to their SDKs.
        server.alpn_protocols = vec![b"http/1.1".to_vec()];

        let folder = TempDir::with_prefix("benchmark-authority-")?;
        std::fs::write(file_in(&folder), root_certificate.pem())?;
        Ok(Self { server: Arc::new(server), folder })
    }

    /// The file with the authority's certificate, in PEM.
    pub(crate) fn file(&self) -> PathBuf {
        file_in(&self.folder)
    }
}

fn file_in(folder: &TempDir) -> PathBuf {
    Path::new(folder.path()).join("authority.pem")
}

fn key() -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048)
}
