//! Whom TLS trusts: the system's certificates, read once for all clients and beside the rest of the start. Most systems
//! have each of them three times over, in a bundle and in a directory; reading them took a third of a start.
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;

/// For a client without a certificate of its own.
pub(super) fn config() -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    // Only the first call in a process installs; the others find it there, which is as good.
    let _ = CryptoProvider::install_default((*provider).clone());
    let verifier = Arc::new(SystemTrust::read(Arc::clone(&provider)));
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Judges by the system's certificates, as [`Verifier`] does, and waits for them where they are not read yet.
#[derive(Debug)]
struct SystemTrust {
    provider: Arc<CryptoProvider>,
    reading: Mutex<Option<JoinHandle<Result<Verifier, Error>>>>,
    verifier: OnceLock<Result<Verifier, Error>>,
}

impl SystemTrust {
    /// Begins to read them.
    fn read(provider: Arc<CryptoProvider>) -> Self {
        let theirs = Arc::clone(&provider);
        let reading = std::thread::Builder::new().name("certificates".into()).spawn(move || Verifier::new(theirs));
        // Without a thread they are read when the first connection asks.
        Self { provider, reading: Mutex::new(reading.ok()), verifier: OnceLock::new() }
    }

    fn verifier(&self) -> Result<&Verifier, Error> {
        let read = self.verifier.get_or_init(|| {
            let reading = self.reading.lock().expect("no holder of this lock can panic").take();
            reading.and_then(|thread| thread.join().ok()).unwrap_or_else(|| Verifier::new(Arc::clone(&self.provider)))
        });
        read.as_ref().map_err(Clone::clone)
    }
}

impl ServerCertVerifier for SystemTrust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verifier()?.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As [`Verifier`] judges, so does this: also by no certificate at all.
    #[test]
    fn what_the_system_does_not_trust_is_refused() {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let trust = SystemTrust::read(Arc::clone(&provider));
        let nonsense = CertificateDer::from(vec![0x30, 0x03, 0x02, 0x01, 0x01]);
        let name = ServerName::try_from("forum.example").unwrap();
        for _ in 0..2 {
            let judged = trust.verify_server_cert(&nonsense, &[], &name, &[], UnixTime::now());
            assert!(judged.is_err(), "{judged:?}");
        }
        assert_eq!(trust.supported_verify_schemes(), provider.signature_verification_algorithms.supported_schemes());
    }
}
