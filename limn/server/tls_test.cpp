// SPDX-License-Identifier: Apache-2.0
#include <fstream>
#include <future>
#include <memory>
#include <thread>

#include <gmock/gmock.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "limn/base/error.h"
#include "limn/server/store_testing.h"
#include "limn/server/transport_testing.h"

namespace limn::server {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

/// Writes a new key, and a certificate that it signs itself.
void make_certificate(const fs::path& certificate, const fs::path& key) {
  EVP_PKEY* pair = EVP_EC_gen("P-256");
  X509* x509 = X509_new();
  ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
  X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
  X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
  X509_set_pubkey(x509, pair);
  X509_NAME* name = X509_get_subject_name(x509);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("localhost"),
                             -1, -1, 0);
  X509_set_issuer_name(x509, name);
  X509_sign(x509, pair, EVP_sha256());
  FILE* file = std::fopen(certificate.c_str(), "w");
  PEM_write_X509(file, x509);
  std::fclose(file);
  file = std::fopen(key.c_str(), "w");
  PEM_write_PrivateKey(file, pair, nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(file);
  X509_free(x509);
  EVP_PKEY_free(pair);
}

/// A client that speaks TLS over a raw one.
class TlsClient {
 public:
  TlsClient(uint16_t port, int most_version = TLS1_3_VERSION)
      : raw_(port), context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_set_security_level(context_, 0);
    SSL_CTX_set_min_proto_version(context_, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context_, most_version);
    ssl_ = SSL_new(context_);
    const unsigned char protocols[] = "\x02h2\x08http/1.1";
    SSL_set_alpn_protos(ssl_, protocols, sizeof protocols - 1);
    SSL_set_fd(ssl_, raw_.descriptor());
    good_ = SSL_connect(ssl_) == 1;
  }
  ~TlsClient() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  bool is_connected() const { return good_; }
  RawClient& raw() { return raw_; }
  SSL* ssl() { return ssl_; }
  bool send(const std::string& bytes) {
    return SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size())) == static_cast<int>(bytes.size());
  }
  std::string read_until(const std::string& end) {
    std::string out;
    char c;
    while (!out.ends_with(end) && SSL_read(ssl_, &c, 1) == 1) out += c;
    return out;
  }
  std::string read_all() {
    std::string out;
    char bytes[16384];
    for (int got; (got = SSL_read(ssl_, bytes, sizeof bytes)) > 0;)
      out.append(bytes, static_cast<size_t>(got));
    return out;
  }

 private:
  RawClient raw_;
  SSL_CTX* context_;
  SSL* ssl_;
  bool good_;
};

class TlsTest : public ::testing::Test, protected Served {
 protected:
  TlsTest() {
    options.limits.header_time = 2s;
    options.limits.linger_time = 1s;
    options.certificate = folder_.path() / "certificate.pem";
    options.key = folder_.path() / "key.pem";
    make_certificate(options.certificate, options.key);
  }
  TemporaryFolder folder_;
};

constexpr const char* kGet = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

TEST_F(TlsTest, ServesRequestsOneAfterAnother) {
  handler.answer = [](const HttpRequest& request) {
    HttpResponse out;
    out.body = request.path + (request.secure ? " secure" : "") + request.body + "!";
    return out;
  };
  TlsClient client(start());
  ASSERT_TRUE(client.is_connected());
  EXPECT_THAT(transport->addresses().front(), StartsWith("https://127.0.0.1:"));
  const unsigned char* protocol;
  unsigned size;
  SSL_get0_alpn_selected(client.ssl(), &protocol, &size);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(protocol), size), "http/1.1");
  client.send(kGet);
  EXPECT_THAT(client.read_until("!"), EndsWith("/a secure!"));
  const std::string large(200'000, 'x');
  client.send("POST /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 200000\r\n\r\n" + large);
  EXPECT_THAT(client.read_all(), EndsWith("/b secure" + large + "!"));
  EXPECT_EQ(SSL_get_shutdown(client.ssl()), SSL_RECEIVED_SHUTDOWN);  // told, not cut
}

TEST_F(TlsTest, SpeaksNoVersionThatIsBroken) {
  start();
  EXPECT_FALSE(TlsClient(transport->port(), TLS1_VERSION).is_connected());
  EXPECT_FALSE(TlsClient(transport->port(), TLS1_1_VERSION).is_connected());
  TlsClient older(transport->port(), TLS1_2_VERSION);
  ASSERT_TRUE(older.is_connected());
  older.send(kGet);
  EXPECT_THAT(older.read_until("\r\n\r\n"), StartsWith("HTTP/1.1 200"));
}

TEST_F(TlsTest, StreamsAndNoticesThatTheClientGoes) {
  std::promise<bool> gone;
  handler.answer = [&](const HttpRequest& request) {
    HttpResponse out;
    out.stream = [&, token = request.gone](BodyStream& body) {
      body.write("one");
      for (int i = 0; i < 1000 && !token.stop_requested(); ++i) std::this_thread::sleep_for(10ms);
      gone.set_value(token.stop_requested());
    };
    return out;
  };
  TlsClient client(start());
  client.send(kGet);
  EXPECT_THAT(client.read_until("one\r\n"), EndsWith("3\r\none\r\n"));
  client.raw().close();
  EXPECT_TRUE(gone.get_future().get());
}

TEST_F(TlsTest, KeepsWhatIsPipelinedWhileAHandlerWorks) {
  std::promise<void> began, go;
  std::atomic<bool> first = true;
  handler.answer = [&](const HttpRequest& request) {
    if (first.exchange(false)) {
      began.set_value();
      go.get_future().wait();
    }
    HttpResponse out;
    out.body = request.path + "!";
    return out;
  };
  TlsClient client(start());
  client.send(kGet);
  began.get_future().wait();
  client.send("GET /b HTTP/1.1\r\nHost: x\r\n\r\n");
  std::this_thread::sleep_for(50ms);
  go.set_value();
  EXPECT_THAT(client.read_until("!"), EndsWith("/a!"));
  client.send("GET /c HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(client.read_until("!"), EndsWith("/b!"));
  EXPECT_THAT(client.read_until("!"), EndsWith("/c!"));
}

TEST_F(TlsTest, LetsAClientReadThatItsBodyIsTooLarge) {
  TlsClient client(start());
  client.send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n");
  client.send(std::string(5'000'000, 'x'));
  EXPECT_THAT(client.read_until("\r\n\r\n"), StartsWith("HTTP/1.1 413"));
}

TEST_F(TlsTest, SpeaksWebSocket) {
  handler.answer = [](const HttpRequest&) {
    HttpResponse out;
    out.messages = [](MessageStream& stream) { stream.send("hello"); };
    return out;
  };
  TlsClient client(start());
  client.send(
      "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: "
      "13\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  EXPECT_THAT(client.read_until("\r\n\r\n"), StartsWith("HTTP/1.1 101"));
  EXPECT_EQ(client.read_until("hello"), "\x81\x05hello");
}

TEST_F(TlsTest, GivesUpOnWhatIsNoTls) {
  options.limits.header_time = 300ms;
  start();
  RawClient plain(transport->port());
  plain.send(kGet);
  EXPECT_TRUE(plain.is_closed_within(5000));
  RawClient silent(transport->port());
  EXPECT_TRUE(silent.is_closed_within(5000));
  TlsClient good(transport->port());
  good.send(kGet);
  EXPECT_THAT(good.read_until("\r\n\r\n"), StartsWith("HTTP/1.1 200"));
}

TEST_F(TlsTest, SaysWhatIsWrongWithItsFiles) {
  const auto problem = [&] {
    try {
      start();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::InvalidArgument);
      return std::string(error.what());
    }
    return std::string();
  };
  const std::string key = options.key, certificate = options.certificate;
  make_certificate(folder_.path() / "other.pem", options.key);
  EXPECT_THAT(problem(), HasSubstr("--tls-key"));
  std::ofstream(key) << "nonsense";
  EXPECT_THAT(problem(), HasSubstr("--tls-key"));
  options.certificate = folder_.path() / "none.pem";
  EXPECT_THAT(problem(), AllOf(HasSubstr("--tls-certificate"), HasSubstr("none.pem")));
}

}  // namespace
}  // namespace limn::server
