// SPDX-License-Identifier: Apache-2.0
// The parts of Asio and Beast that are no templates, compiled once; connection.cpp and transport.cpp have the rest.

// One assertion of Beast 1.81's is wrong, and anyone could set it off: that of a last chunk whose end comes byte by byte.
#define BOOST_DISABLE_ASSERTS
#include <boost/asio/impl/src.hpp>
#include <boost/asio/ssl/impl/src.hpp>
#include <boost/beast/src.hpp>
