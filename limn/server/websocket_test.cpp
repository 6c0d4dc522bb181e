// SPDX-License-Identifier: Apache-2.0
#include <future>
#include <thread>

#include <gmock/gmock.h>

#include "limn/server/transport_testing.h"

namespace limn::server {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// The key and its answer are those of RFC 6455 §1.3.
constexpr const char* kUpgrade =
    "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: "
    "13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
constexpr char kText = '\x81', kPing = '\x89', kPong = '\x8a', kClose = '\x88';

/// A frame of a client, masked with zeros; at most 65,535 bytes.
std::string frame(char head, const std::string& payload) {
  std::string out(1, head);
  if (payload.size() < 126) {
    out += static_cast<char>(0x80 | payload.size());
  } else {
    out += '\xfe';
    out += static_cast<char>(payload.size() >> 8);
    out += static_cast<char>(payload.size());
  }
  return out + std::string(4, '\0') + payload;
}

class WebSocketTest : public ::testing::Test, protected Served {
 protected:
  WebSocketTest() { options.limits.header_time = options.limits.linger_time = 1s; }
  /// Makes the handler speak so.
  void speak(std::function<void(MessageStream&, std::stop_token gone)> words) {
    handler.answer = [words = std::move(words)](const HttpRequest& request) {
      HttpResponse out;
      out.messages = [words, gone = request.gone](MessageStream& stream) { words(stream, gone); };
      return out;
    };
  }
  static bool opens(RawClient& client) {
    client.send(kUpgrade);
    const std::string answer = client.read_until("\r\n\r\n");
    EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 101 "),
                              HasSubstr("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
    return answer.starts_with("HTTP/1.1 101");
  }
};

bool is_gone_soon(const std::stop_token& token) {
  for (int i = 0; i < 1000 && !token.stop_requested(); ++i) std::this_thread::sleep_for(10ms);
  return token.stop_requested();
}

TEST_F(WebSocketTest, TellsMessagesAndCloses) {
  speak([](MessageStream& stream, const std::stop_token&) {
    EXPECT_TRUE(stream.send("hello"));
    EXPECT_TRUE(stream.send(std::string(70'000, 'x')));
    EXPECT_TRUE(stream.send("é"));
  });
  RawClient client(start());
  ASSERT_TRUE(opens(client));
  EXPECT_EQ(client.read_bytes(7), std::string(1, kText) + "\x05hello");
  EXPECT_EQ(client.read_bytes(10), std::string("\x81\x7f\0\0\0\0\0\x01\x11\x70", 10));
  EXPECT_EQ(client.read_bytes(70'000), std::string(70'000, 'x'));
  EXPECT_EQ(client.read_bytes(4), "\x81\x02é");
  EXPECT_EQ(client.read_bytes(4), std::string("\x88\x02\x03\xe8", 4));  // 1000: normal
  client.send(frame(kClose, "\x03\xe8"));
  EXPECT_TRUE(client.is_closed_within(5000));
}

TEST_F(WebSocketTest, AnswersPingsAndDropsWhatItIsTold) {
  std::promise<void> enough;
  auto waited = enough.get_future();
  speak([&](MessageStream& stream, const std::stop_token&) {
    waited.wait();
    EXPECT_TRUE(stream.send("end"));
  });
  RawClient client(start());
  ASSERT_TRUE(opens(client));
  client.send(frame(kText, "nobody reads this") + frame('\x82', std::string(1000, 'b')) +
              frame(kPing, "there?"));
  EXPECT_EQ(client.read_bytes(8), std::string(1, kPong) + "\x06there?");
  enough.set_value();
  EXPECT_EQ(client.read_bytes(5),
            "\x81\x03"
            "end");
}

TEST_F(WebSocketTest, NoticesThatTheClientClosesOrGoes) {
  for (const bool politely : {true, false}) {
    std::promise<bool> gone;
    speak([&](MessageStream& stream, const std::stop_token& token) {
      stream.send("x");
      const bool was = is_gone_soon(token);
      EXPECT_FALSE(stream.send("y"));
      gone.set_value(was);
    });
    RawClient client(politely ? start() : transport->port());
    ASSERT_TRUE(opens(client));
    EXPECT_EQ(client.read_bytes(3), "\x81\x01x");
    if (politely) {
      client.send(frame(kClose, "\x03\xe9"));
      EXPECT_EQ(client.read_bytes(4), std::string("\x88\x02\x03\xe9", 4));
    } else {
      client.reset();
    }
    EXPECT_TRUE(gone.get_future().get());
  }
}

TEST_F(WebSocketTest, RefusesMessagesThatAreTooLargeOrMalformed) {
  struct Row {
    std::string frames, code;
  };
  std::string large;
  large += frame('\x01', std::string(40'000, 'x')) + frame('\x80', std::string(40'000, 'x'));
  for (const Row& row :
       {Row{large, "\x03\xf1"}, Row{std::string("\x81\x05hello", 7), "\x03\xea"},  // too big, not masked
        Row{frame('\x83', "x"), "\x03\xea"}, Row{frame(kText, "\xff"), "\x03\xef"}}) {
    std::promise<bool> gone;
    speak([&](MessageStream&, const std::stop_token& token) { gone.set_value(is_gone_soon(token)); });
    RawClient client(transport ? transport->port() : start());
    ASSERT_TRUE(opens(client));
    client.send(row.frames);
    EXPECT_THAT(client.read_all(), StartsWith("\x88\x02" + row.code));
    EXPECT_TRUE(gone.get_future().get());
  }
}

TEST_F(WebSocketTest, IsNotForWhoAsksPlainly) {
  speak([](MessageStream&, const std::stop_token&) { ADD_FAILURE(); });
  RawClient client(start());
  client.send("GET /ws HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(client.read_answer(), AllOf(StartsWith("HTTP/1.1 426 "), HasSubstr("Upgrade: websocket")));
  client.send("GET /ws HTTP/1.1\r\nHost: x\r\n\r\n");  // the connection is as good as before
  EXPECT_THAT(client.read_answer(), StartsWith("HTTP/1.1 426 "));
}

TEST_F(WebSocketTest, NeedsAProperHandshake) {
  std::atomic<int> spoke = 0;
  speak([&](MessageStream&, const std::stop_token&) { ++spoke; });
  start();
  const std::string upgrade = kUpgrade;
  for (const auto& [from, to] : {std::pair<std::string, std::string>{"Version: 13", "Version: 12"},
                                 {"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "A: b"},
                                 {"GET", "POST"}}) {
    std::string wrong = upgrade;
    wrong.replace(wrong.find(from), from.size(), to);
    RawClient client(transport->port());
    client.send(wrong);
    EXPECT_THAT(client.read_until("\r\n\r\n"), Not(StartsWith("HTTP/1.1 101"))) << wrong;
  }
  RawClient eager(transport->port());
  eager.send(upgrade + frame(kText, "too early"));
  EXPECT_THAT(eager.read_all(), Not(HasSubstr("\x81")));
  EXPECT_EQ(spoke, 0);
}

TEST_F(WebSocketTest, AnOrdinaryAnswerStaysOne) {
  RawClient client(start());
  client.send(kUpgrade);
  EXPECT_THAT(client.read_answer(), AllOf(StartsWith("HTTP/1.1 200"), EndsWith("GET /ws ")));
}

TEST_F(WebSocketTest, LooksWhetherASilentClientLives) {
  options.limits.idle_time = 400ms;
  std::promise<bool> gone;
  speak([&](MessageStream&, const std::stop_token& token) { gone.set_value(is_gone_soon(token)); });
  RawClient client(start());
  ASSERT_TRUE(opens(client));
  EXPECT_EQ(client.read_bytes(2), std::string("\x89\0", 2));  // a ping, which stays without an answer
  EXPECT_TRUE(gone.get_future().get());
}

TEST_F(WebSocketTest, EndsWhenTheServerDrains) {
  std::stop_source closing;
  speak([&](MessageStream& stream, const std::stop_token&) {
    stream.send("x");
    is_gone_soon(closing.get_token());
  });
  RawClient client(start());
  ASSERT_TRUE(opens(client));
  client.read_bytes(3);
  auto stopped = std::async(std::launch::async, [&] { return transport->stop(5s); });
  std::this_thread::sleep_for(50ms);
  closing.request_stop();
  EXPECT_EQ(client.read_bytes(4), std::string("\x88\x02\x03\xe9", 4));  // 1001: going away
  client.send(frame(kClose, "\x03\xe9"));
  EXPECT_TRUE(stopped.get());
}

TEST_F(WebSocketTest, SurvivesAHandlerThatThrows) {
  speak([](MessageStream& stream, const std::stop_token&) {
    stream.send("x");
    throw std::runtime_error("lost");
  });
  RawClient client(start());
  ASSERT_TRUE(opens(client));
  EXPECT_EQ(client.read_bytes(3), "\x81\x01x");
  EXPECT_EQ(client.read_bytes(2), "\x88\x02");
}

}  // namespace
}  // namespace limn::server
