# requires: certifi
import ssl

import certifi

assert len(ssl.create_default_context(cafile=certifi.where()).get_ca_certs()) > 100
