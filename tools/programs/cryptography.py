# requires: cryptography
from cryptography import x509
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric import ed25519

key = Fernet(Fernet.generate_key())
assert key.decrypt(key.encrypt(b"secret")) == b"secret"
assert len(ed25519.Ed25519PrivateKey.generate().sign(b"x")) == 64
assert x509.NameOID.COMMON_NAME.dotted_string == "2.5.4.3"
