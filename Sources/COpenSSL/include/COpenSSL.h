// OpenSSL for Swift: the headers, and functions for what OpenSSL offers as macros only.
#ifndef COPENSSL_H
#define COPENSSL_H

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#endif
