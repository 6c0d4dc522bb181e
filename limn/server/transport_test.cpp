// SPDX-License-Identifier: Apache-2.0
#include "limn/server/transport.h"

#include <atomic>
#include <future>
#include <mutex>
#include <thread>

#include <gmock/gmock.h>

#include "limn/base/error.h"
#include "limn/server/transport_testing.h"

namespace limn::server {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* kGet = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

std::string chunked(const std::string& chunks) {
  return "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks;
}
std::string post(const std::string& body, const std::string& fields = "") {
  return "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + fields +
         "\r\n" + body;
}

/// Lets go of what waits for it.
class Gate {
 public:
  void open() { promise_.set_value(); }
  void wait() const { future_.wait(); }
  bool wait_for(std::chrono::milliseconds time) const {
    return future_.wait_for(time) == std::future_status::ready;
  }

 private:
  std::promise<void> promise_;
  std::shared_future<void> future_ = promise_.get_future().share();
};

/// Waits until the stop is requested, at most ten seconds.
bool is_gone_soon(const std::stop_token& token) {
  for (int i = 0; i < 1000 && !token.stop_requested(); ++i) std::this_thread::sleep_for(10ms);
  return token.stop_requested();
}

class TransportTest : public ::testing::Test, protected Served {
 protected:
  TransportTest() {
    options.limits.header_time = 2s;
    options.limits.linger_time = options.limits.unheard_time = 500ms;
  }
  std::string ask(const std::string& request) {
    RawClient client(transport->port());
    client.send(request);
    return client.read_answer();
  }
};

TEST_F(TransportTest, AnswersWithTheFieldsThatProtectBrowsers) {
  RawClient client(start());
  client.send(kGet);
  const std::string answer = client.read_answer();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\nDate: "));
  EXPECT_THAT(answer, EndsWith("\r\n\r\nGET /a "));
  for (const char* field :
       {"Content-Type: text/plain", "Content-Length: 7", "Connection: keep-alive", "Cache-Control: no-store",
        "Content-Security-Policy: default-src 'self'", "frame-ancestors 'none'",
        "X-Content-Type-Options: nosniff", "Referrer-Policy: no-referrer",
        "Cross-Origin-Opener-Policy: same-origin", "Cross-Origin-Resource-Policy: same-origin"})
    EXPECT_THAT(answer, HasSubstr(field));
}

TEST_F(TransportTest, LeavesFieldsToTheHandlerThatSetsThemAndLetsNoneEndItsLine) {
  handler.answer = [](const HttpRequest&) {
    HttpResponse out;
    out.headers = {{"cache-control", "max-age=9"}, {"X-Odd", "a\r\nX-Smuggled: b"}};
    return out;
  };
  start();
  const std::string answer = ask(kGet);
  EXPECT_THAT(answer, AllOf(HasSubstr("max-age=9"), Not(HasSubstr("no-store")),
                            HasSubstr("X-Odd: aX-Smuggled: b\r\n")));
}

TEST_F(TransportTest, ReadsPathQueryFieldsAndPeer) {
  handler.answer = [](const HttpRequest& request) {
    HttpResponse out;
    out.body = request.target + "|" + request.path + "|" + *find_value(request.query, "q") + "|" +
               request.header("x-name") + "|" + request.peer + "|" + (request.secure ? "tls" : "plain");
    return out;
  };
  start();
  EXPECT_THAT(ask("GET /a%2Fb/%C3%A9?p&q=1+2%26 HTTP/1.1\r\nHost: x\r\nX-NAME:  v \r\n\r\n"),
              EndsWith("/a%2Fb/%C3%A9|/a/b/é|1 2&|v|127.0.0.1|plain"));
  EXPECT_THAT(ask("GET http://y/z?q=1 HTTP/1.1\r\nHost: x\r\n\r\n"), EndsWith("/z|/z|1||127.0.0.1|plain"));
}

TEST_F(TransportTest, KeepsTheConnectionAndAnswersWhatIsPipelinedInTurn) {
  RawClient client(start());
  client.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\n" + post("two") + "GET /3 HTTP/1.1\r\nHost: x\r\n\r\n" +
              "\r\n" + "GET /4 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.read_answer(), EndsWith("GET /1 "));
  EXPECT_THAT(client.read_answer(), EndsWith("POST /a two"));
  EXPECT_THAT(client.read_answer(), EndsWith("GET /3 "));
  EXPECT_THAT(client.read_answer(), AllOf(HasSubstr("Connection: close"), EndsWith("GET /4 ")));
  EXPECT_EQ(client.read_all(), "");
}

TEST_F(TransportTest, KeepsOldClientsOnlyWhenTheyAsk) {
  start();
  EXPECT_THAT(ask("GET /a HTTP/1.0\r\n\r\n"), HasSubstr("Connection: close"));
  EXPECT_THAT(ask("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), HasSubstr("Connection: keep-alive"));
}

TEST_F(TransportTest, AnswersHeadWithoutTheBody) {
  RawClient client(start());
  client.send("HEAD /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.read_all(), AllOf(HasSubstr("Content-Length: 8"), EndsWith("\r\n\r\n")));
}

TEST_F(TransportTest, ReadsBodiesWithALengthAndInChunks) {
  start();
  EXPECT_THAT(ask(post("hello")), EndsWith("POST /a hello"));
  EXPECT_THAT(ask(chunked("3\r\nhel\r\n2;ext=1\r\nlo\r\n0\r\nTrailer: x\r\n\r\n")),
              EndsWith("POST /a hello"));
  EXPECT_THAT(ask(chunked("0\r\n\r\n")), EndsWith("POST /a "));
  const std::string large(1 << 20, 'x');
  EXPECT_THAT(ask(post(large)), EndsWith(large));
}

TEST_F(TransportTest, ReadsWhatComesByteByByte) {
  RawClient client(start());
  for (const std::string& request :
       {std::string(kGet), chunked("3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"), chunked("0\r\n\r\n")}) {
    for (const char c : request) {
      client.send({&c, 1});
      std::this_thread::sleep_for(100us);
    }
    EXPECT_THAT(client.read_answer(), StartsWith("HTTP/1.1 200"));
  }
}

struct Malformed {
  const char* name;
  std::string request;
  int status;
};
class MalformedRequest : public ::testing::TestWithParam<Malformed>, protected Served {};

TEST_P(MalformedRequest, IsRefusedAndTheConnectionClosed) {
  options.limits.linger_time = 200ms;
  RawClient client(start());
  client.send(GetParam().request);
  const std::string answer = client.read_all();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 " + std::to_string(GetParam().status) + " "));
  EXPECT_THAT(answer, AllOf(HasSubstr("Connection: close"), HasSubstr("{\"error\":{\"code\":")));
  EXPECT_THAT(RawClient(transport->port()).is_connected(), true);
}

INSTANTIATE_TEST_SUITE_P(
    Table, MalformedRequest,
    ::testing::Values(
        Malformed{"NoHttp", "hello\r\n\r\n", 400},
        Malformed{"Http2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
        Malformed{"Version", "GET / HTTP/1.2\r\nHost: x\r\n\r\n", 400},
        Malformed{"BareLf", "GET / HTTP/1.1\nHost: x\n\n", 400},
        Malformed{"NoHost", "GET / HTTP/1.1\r\n\r\n", 400},
        Malformed{"TwoHosts", "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400},
        Malformed{"SpaceBeforeColon", "GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400},
        Malformed{"ControlCharacter", std::string("GET / HTTP/1.1\r\nHost: x\r\nA: b") + '\0' + "c\r\n\r\n",
                  400},
        Malformed{"Asterisk", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        Malformed{"Connect", "CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        Malformed{"BadPercent", "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        Malformed{"ZeroInPath", "GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        Malformed{"PathNotUtf8", "GET /%ff HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        Malformed{"QueryNotUtf8", "GET /?q=%c3 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        Malformed{"LengthIsNoNumber", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", 400},
        Malformed{"NegativeLength", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400},
        Malformed{"TwoLengths",
                  "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400},
        Malformed{
            "LengthAndChunks",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400},
        Malformed{
            "ChunksAndLength",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            400},
        Malformed{"ChunksOfHttp10", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        Malformed{"OtherCoding",
                  "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
        Malformed{"ObscuredCoding",
                  "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501},
        Malformed{"BadChunkSize", chunked("zz\r\n"), 400},
        Malformed{"NegativeChunk", chunked("-1\r\n\r\n"), 400},
        Malformed{"HugeChunk", chunked("fffffffffffffffff\r\n"), 400},
        Malformed{"ChunkOverLimit", chunked("7fffffffffffffff\r\n"), 413},
        Malformed{"ChunkWithoutEnd", chunked("1\r\nab\r\n0\r\n\r\n"), 400},
        Malformed{"EndlessChunkExtension", chunked("1;" + std::string(40'000, 'x')), 400},
        Malformed{"LengthOverLimit", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n", 413},
        Malformed{"HugeLength", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551615\r\n\r\n",
                  413},
        Malformed{"OtherExpectation",
                  "POST / HTTP/1.1\r\nHost: x\r\nExpect: dinner\r\nContent-Length: 1\r\n\r\na", 417},
        Malformed{"LongLine", "GET /" + std::string(17'000, 'x'), 431},
        Malformed{"LongHead", "GET / HTTP/1.1\r\nHost: x\r\nA: " + std::string(17'000, 'x'), 431},
        Malformed{"ManyFields",
                  [] {
                    std::string request = "GET / HTTP/1.1\r\nHost: x\r\n";
                    for (int i = 0; i < 100; ++i) request += "A: b\r\n";
                    return request + "\r\n";
                  }(),
                  431}),
    [](const auto& info) { return info.param.name; });

TEST_F(TransportTest, TakesAHeadJustWithinTheLimits) {
  start();
  std::string request = "GET /a HTTP/1.1\r\nHost: x\r\n";
  for (int i = 0; i < 99; ++i) request += "A: " + std::string(150, 'x') + "\r\n";
  EXPECT_THAT(ask(request + "\r\n"), StartsWith("HTTP/1.1 200"));
}

TEST_F(TransportTest, SaysContinueToWhoWaitsForIt) {
  RawClient client(start());
  client.send("POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("hello");
  EXPECT_THAT(client.read_answer(), EndsWith("POST /a hello"));
}

TEST_F(TransportTest, RefusesBeforeTheBodyIsSent) {
  handler.admission = [](const HttpRequest& head) -> std::variant<int64_t, HttpResponse> {
    EXPECT_EQ(head.body, "");
    return error_response(401, {"unauthorized", "", "no", ""});
  };
  RawClient client(start());
  client.send("POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  EXPECT_THAT(client.read_all(), AllOf(StartsWith("HTTP/1.1 401 "), HasSubstr("Connection: close")));
}

// A client that sends all before it reads must find the answer, not a connection that was reset.
TEST_F(TransportTest, LetsAClientReadThatItsBodyIsTooLarge) {
  start();
  const std::string body(20 << 20, 'x');
  for (const std::string& request :
       {post(body), chunked("1400000\r\n" + body + "\r\n0\r\n\r\n"),
        chunked("ffff0\r\n" + body.substr(0, 0xffff0) + "\r\n1\r\nx\r\nffff0\r\n" + body)}) {
    RawClient client(transport->port());
    EXPECT_TRUE(client.send(request));
    EXPECT_THAT(client.read_all(), StartsWith("HTTP/1.1 413 Content Too Large"));
  }
}

TEST_F(TransportTest, GivesUpOnSlowHeads) {
  options.limits.header_time = 300ms;
  RawClient client(start());
  const auto begin = std::chrono::steady_clock::now();
  std::string answer;
  std::thread dribble([&] {
    for (int i = 0; i < 30 && client.send("G"); ++i) std::this_thread::sleep_for(20ms);
  });
  answer = client.read_until("\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 408 "));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 2s);
  dribble.join();
}

TEST_F(TransportTest, GivesUpOnSlowBodies) {
  options.limits.body_time = 300ms;
  RawClient client(start());
  client.send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc");
  EXPECT_THAT(client.read_until("\r\n\r\n"), StartsWith("HTTP/1.1 408 "));
}

TEST_F(TransportTest, GivesLargeBodiesMoreTime) {
  options.limits.body_time = 200ms;
  options.limits.slowest_body = 1000;
  RawClient client(start());
  client.send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n" + std::string(1500, 'x'));
  std::this_thread::sleep_for(500ms);
  client.send(std::string(500, 'x'));
  EXPECT_THAT(client.read_answer(), StartsWith("HTTP/1.1 200"));
}

TEST_F(TransportTest, ClosesIdleConnectionsWithoutAWord) {
  options.limits.idle_time = 100ms;
  options.limits.linger_time = 100ms;
  RawClient client(start());
  client.send(kGet);
  client.read_answer();
  EXPECT_EQ(client.read_all(), "");
  EXPECT_TRUE(client.is_closed_within(1));
}

TEST_F(TransportTest, GivesUpOnClientsThatDoNotRead) {
  options.limits.write_time = 300ms;
  options.limits.linger_time = 100ms;
  Gate ended;
  handler.answer = [&](const HttpRequest&) {
    HttpResponse out;
    out.stream = [&](BodyStream& body) {
      const std::string piece(1 << 20, 'x');
      while (body.write(piece)) {
      }
      ended.open();
    };
    return out;
  };
  RawClient client(start());
  client.send(kGet);
  EXPECT_TRUE(ended.wait_for(10s));
  EXPECT_TRUE(transport->stop(1s));
}

TEST_F(TransportTest, StreamsInChunks) {
  handler.answer = [](const HttpRequest&) {
    HttpResponse out;
    out.content_type = "text/event-stream";
    out.stream = [](BodyStream& body) {
      body.write("one");
      body.write("");
      body.write("two!");
    };
    return out;
  };
  RawClient client(start());
  client.send(std::string(kGet) + kGet);
  for (int i = 0; i < 2; ++i) {  // and keeps the connection
    EXPECT_THAT(client.read_until("\r\n\r\n"),
                AllOf(HasSubstr("Transfer-Encoding: chunked"), Not(HasSubstr("Content-Length"))));
    EXPECT_EQ(client.read_until("0\r\n\r\n"), "3\r\none\r\n4\r\ntwo!\r\n0\r\n\r\n");
  }
  client.send("HEAD /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.read_all(), EndsWith("\r\n\r\n"));
  RawClient old(transport->port());
  old.send("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_THAT(old.read_all(), AllOf(HasSubstr("Connection: close"), EndsWith("\r\n\r\nonetwo!")));
}

TEST_F(TransportTest, AStreamThatBreaksHasNoEnd) {
  handler.answer = [](const HttpRequest&) {
    HttpResponse out;
    out.stream = [](BodyStream& body) {
      body.write("one");
      throw std::runtime_error("lost");
    };
    return out;
  };
  RawClient client(start());
  client.send(kGet);
  EXPECT_THAT(client.read_all(), EndsWith("3\r\none\r\n"));
  EXPECT_THAT(log_text(), HasSubstr("stream_failed"));
}

TEST_F(TransportTest, SendsLargeAnswersWhole) {
  const std::string large(30 << 20, 'x');
  handler.answer = [&](const HttpRequest&) {
    HttpResponse out;
    out.bytes = large;
    return out;
  };
  start();
  EXPECT_THAT(ask(kGet), EndsWith("\r\n\r\n" + large));
}

TEST_F(TransportTest, TellsAHandlerThatItsClientIsGone) {
  Gate began;
  std::promise<bool> gone;
  handler.answer = [&](const HttpRequest& request) {
    began.open();
    gone.set_value(is_gone_soon(request.gone));
    return HttpResponse();
  };
  RawClient client(start());
  client.send(kGet);
  began.wait();
  client.close();
  EXPECT_TRUE(gone.get_future().get());
}

TEST_F(TransportTest, TellsAStreamThatItsClientIsGone) {
  Gate began;
  std::promise<bool> gone;
  handler.answer = [&](const HttpRequest& request) {
    HttpResponse out;
    out.stream = [&, token = request.gone](BodyStream& body) {
      body.write("x");
      began.open();
      gone.set_value(is_gone_soon(token));
    };
    return out;
  };
  RawClient client(start());
  client.send(kGet);
  began.wait();
  client.reset();
  EXPECT_TRUE(gone.get_future().get());
}

TEST_F(TransportTest, AnswersAClientThatOnlyEndedItsSide) {
  RawClient client(start());
  client.send(std::string(kGet) + post("two"));
  client.end_sending();
  EXPECT_THAT(client.read_answer(), EndsWith("GET /a "));
  EXPECT_THAT(client.read_answer(), EndsWith("POST /a two"));
  EXPECT_EQ(client.read_all(), "");
}

// Their end is told once, at any moment: also as the handler is done already. Others that want the processor make that likely.
TEST_F(TransportTest, AnswersHalfClosedClientsWheneverTheyEndTheirSide) {
  std::vector<std::jthread> others;
  for (int i = 0; i < 4; ++i)
    others.emplace_back([](const std::stop_token& stop) {
      while (!stop.stop_requested()) continue;
    });
  start();
  for (int i = 0; i < 1000; ++i) {
    RawClient client(transport->port());
    client.send(post("hello"));
    client.end_sending();
    ASSERT_THAT(client.read_all(), EndsWith("POST /a hello")) << i;
    ASSERT_TRUE(client.has_ended()) << i;
  }
}

TEST_F(TransportTest, HalfARequestIsNoRequest) {
  std::atomic<int> calls = 0;
  handler.answer = [&](const HttpRequest&) {
    ++calls;
    return HttpResponse();
  };
  start();
  for (const std::string& half :
       {std::string("GET /a HT"), std::string("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab"),
        chunked("5\r\nab")}) {
    RawClient client(transport->port());
    client.send(half);
    client.end_sending();
    EXPECT_EQ(client.read_all(), "");
  }
  EXPECT_EQ(calls, 0);
}

TEST_F(TransportTest, KeepsWhatIsPipelinedWhileAHandlerWorks) {
  Gate began, go;
  std::atomic<bool> first = true, gone = false;
  handler.answer = [&](const HttpRequest& request) {
    if (first.exchange(false)) {
      began.open();
      go.wait();
      gone = request.gone.stop_requested();
    }
    HttpResponse out;
    out.body = request.path + request.body;
    return out;
  };
  RawClient client(start());
  client.send(kGet);
  began.wait();
  const std::string large(200'000, 'x');  // more than is read ahead
  client.send(post(large));
  std::this_thread::sleep_for(50ms);
  go.open();
  EXPECT_THAT(client.read_answer(), EndsWith("/a"));
  EXPECT_FALSE(gone);
  EXPECT_THAT(client.read_answer(), EndsWith("/a" + large));
}

TEST_F(TransportTest, SaysThatItIsBusyWhenAllHandlersAre) {
  options.limits.handlers = 2;
  Gate go;
  std::atomic<int> waiting = 0;
  handler.instant = [](const HttpRequest& request) { return request.path == "/instant"; };
  handler.answer = [&](const HttpRequest& request) {
    if (request.path == "/a") {
      ++waiting;
      go.wait();
    }
    return HttpResponse();
  };
  start();
  RawClient a(transport->port()), b(transport->port());
  a.send(kGet);
  b.send(kGet);
  while (waiting < 2) std::this_thread::sleep_for(1ms);
  RawClient c(transport->port());
  c.send(kGet);
  EXPECT_THAT(c.read_answer(),
              AllOf(StartsWith("HTTP/1.1 503 "), HasSubstr("Retry-After: 5"), HasSubstr("keep-alive")));
  c.send("GET /instant HTTP/1.1\r\nHost: x\r\n\r\n");  // what takes no time is answered all the same
  EXPECT_THAT(c.read_answer(), StartsWith("HTTP/1.1 200 "));
  go.open();
  EXPECT_THAT(a.read_answer(), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(b.read_answer(), StartsWith("HTTP/1.1 200 "));
}

TEST_F(TransportTest, LimitsConnectionsOfOneAddressAndInAll) {
  options.limits.connections_per_address = 2;
  start();
  {
    RawClient a(transport->port()), b(transport->port());
    a.send(kGet);
    b.send(kGet);
    a.read_answer();
    b.read_answer();
    RawClient c(transport->port());
    EXPECT_THAT(c.read_all(), StartsWith("HTTP/1.1 503 "));
    EXPECT_THAT(metrics.text(), HasSubstr("limn_http_connections_refused_total 1"));
    EXPECT_THAT(metrics.text(), HasSubstr("limn_http_connections 2"));
  }
  std::string answer;
  for (int i = 0; i < 100 && !answer.starts_with("HTTP/1.1 200"); ++i) {
    std::this_thread::sleep_for(10ms);
    answer = ask(kGet);
  }
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
}

TEST_F(TransportTest, LimitsTheMemoryOfAllBodies) {
  options.limits.bodies = 1000;
  RawClient client(start());
  client.send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n");
  std::this_thread::sleep_for(100ms);
  EXPECT_THAT(ask(post(std::string(200, 'x'))), AllOf(StartsWith("HTTP/1.1 503 "), HasSubstr("Retry-After")));
  EXPECT_THAT(ask(chunked("c8\r\n" + std::string(200, 'x') + "\r\n0\r\n\r\n")), StartsWith("HTTP/1.1 503 "));
  client.send(std::string(900, 'x'));
  EXPECT_THAT(client.read_answer(), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(ask(post(std::string(200, 'x'))), StartsWith("HTTP/1.1 200"));
}

TEST_F(TransportTest, TakesAProxysWordForTheClient) {
  options.proxies = {"127.0.0.1", "10.0.0.1"};
  handler.answer = [](const HttpRequest& request) {
    HttpResponse out;
    out.body = request.peer + (request.secure ? " https" : " http") + (request.proxied ? " proxied" : "");
    return out;
  };
  start();
  const auto forwarded = [&](const std::string& fields) {
    return ask("GET /a HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n");
  };
  EXPECT_THAT(forwarded("X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.0.0.1\r\nX-Forwarded-Proto: https\r\n"),
              EndsWith("1.2.3.4 https proxied"));
  EXPECT_THAT(forwarded("X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: [2001:db8::1]:99\r\n"),
              EndsWith("2001:db8::1 http proxied"));
  EXPECT_THAT(forwarded("X-Forwarded-For: nonsense\r\n"), EndsWith("127.0.0.1 http proxied"));
  EXPECT_THAT(forwarded(""), EndsWith("127.0.0.1 http proxied"));
}

TEST_F(TransportTest, TakesNobodyElsesWordForTheClient) {
  handler.answer = [](const HttpRequest& request) {
    HttpResponse out;
    out.body = request.peer + (request.secure ? " https" : " http") + (request.proxied ? " proxied" : "");
    return out;
  };
  start();
  EXPECT_THAT(
      ask("GET /a HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n\r\n"),
      EndsWith("127.0.0.1 http"));
}

TEST_F(TransportTest, SaysWhyItCannotListen) {
  start();
  TransportOptions taken;
  taken.port = transport->port();
  try {
    Transport(taken, handler, log, metrics);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("cannot listen on 127.0.0.1 port"), HasSubstr("in use")));
  }
  TransportOptions nowhere;
  nowhere.host = "no-such-host.invalid";
  EXPECT_THROW(Transport(nowhere, handler, log, metrics), Error);
  nowhere.host = "192.0.2.1";  // of nobody: RFC 5737
  EXPECT_THROW(Transport(nowhere, handler, log, metrics), Error);
}

TEST_F(TransportTest, ListensOnAllAddressesOfAName) {
  options.host = "localhost";
  start();
  for (const std::string& address : transport->addresses())
    EXPECT_THAT(address, EndsWith(":" + std::to_string(transport->port())));
  EXPECT_THAT(ask(kGet), StartsWith("HTTP/1.1 200"));
}

TEST_F(TransportTest, DrainsLettingWhatRunsEnd) {
  Gate began, go;
  handler.answer = [&](const HttpRequest&) {
    began.open();
    go.wait();
    HttpResponse out;
    out.body = "done";
    return out;
  };
  start();
  RawClient idle(transport->port()), busy(transport->port());
  busy.send(kGet);
  began.wait();
  std::future<bool> stopped = std::async(std::launch::async, [&] { return transport->stop(10s); });
  EXPECT_EQ(idle.read_all(), "");
  EXPECT_FALSE(RawClient(transport->port()).is_connected());
  go.open();
  EXPECT_THAT(busy.read_all(), AllOf(HasSubstr("Connection: close"), EndsWith("done")));
  EXPECT_TRUE(stopped.get());
}

TEST_F(TransportTest, ClosesWhatDoesNotEndInTime) {
  Gate began;
  handler.answer = [&](const HttpRequest& request) {
    began.open();
    is_gone_soon(request.gone);
    return HttpResponse();
  };
  RawClient client(start());
  client.send(kGet);
  began.wait();
  EXPECT_TRUE(transport->stop(50ms));
  EXPECT_EQ(client.read_all(), "");
}

TEST_F(TransportTest, SaysWhenAHandlerDoesNotNotice) {
  Gate began, go;
  handler.answer = [&](const HttpRequest&) {
    began.open();
    go.wait();
    return HttpResponse();
  };
  RawClient client(start());
  client.send(kGet);
  began.wait();
  EXPECT_FALSE(transport->stop(10ms));
  go.open();
  EXPECT_TRUE(transport->stop(10ms));
}

TEST_F(TransportTest, ServesManyClientsAtATime) {
  start();
  std::atomic<int> good = 0;
  std::vector<std::thread> clients;
  for (int i = 0; i < 50; ++i)
    clients.emplace_back([&, i] {
      RawClient client(transport->port());
      for (int k = 0; k < 20; ++k) {
        const std::string body = std::to_string(i) + "/" + std::to_string(k);
        client.send(post(body));
        good += client.read_answer().ends_with("POST /a " + body);
      }
      if (i % 2) client.reset();
    });
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(good, 1000);
}

}  // namespace
}  // namespace limn::server
