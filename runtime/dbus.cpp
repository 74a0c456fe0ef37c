#include "runtime/dbus.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "engine/base/sys.h"

namespace mydocker::runtime {
namespace {

static_assert(std::endian::native == std::endian::little, "messages are written in the machine's own byte order");

constexpr std::size_t fixed_header_bytes = 16;
constexpr std::size_t message_limit = std::size_t{1} << 20;
constexpr std::size_t kept_signals = 256;
constexpr std::size_t line_limit = 1024;
constexpr std::chrono::seconds call_timeout{30};
constexpr DbusTarget bus{"org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus"};

// Header fields (D-Bus specification, "Header Fields").
enum HeaderField : std::uint8_t {
  field_path = 1,
  field_interface = 2,
  field_member = 3,
  field_error_name = 4,
  field_reply_serial = 5,
  field_destination = 6,
  field_sender = 7,
  field_signature = 8,
};

[[noreturn]] void malformed(std::string_view what) {
  throw Error(ErrorKind::invalid_argument, concat("malformed D-Bus message: ", what));
}

std::size_t padding(std::size_t at, std::size_t boundary) { return (boundary - at % boundary) % boundary; }

std::uint32_t read_uint32_at(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

void append_uint32(std::string& out, std::uint32_t value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append_padding(std::string& out, std::size_t boundary) { out.append(padding(out.size(), boundary), '\0'); }

/// One (yv) of the header.
void append_header_field(std::string& out, HeaderField field, char type, std::string_view value) {
  append_padding(out, 8);
  out += static_cast<char>(field);
  out += '\1';
  out += type;
  out += '\0';
  if (type == 'g') {
    out += static_cast<char>(value.size());
  } else {
    append_padding(out, 4);
    append_uint32(out, static_cast<std::uint32_t>(value.size()));
  }
  out += value;
  out += '\0';
}

std::string make_call(const DbusTarget& target, std::string_view member, const DbusWriter& arguments,
                      std::uint32_t serial) {
  std::string out{'l', static_cast<char>(DbusMessage::Type::call), '\0', '\1'};
  append_uint32(out, static_cast<std::uint32_t>(arguments.bytes().size()));
  append_uint32(out, serial);
  append_uint32(out, 0);  // length of the fields, filled in below
  append_header_field(out, field_path, 'o', target.path);
  append_header_field(out, field_interface, 's', target.interface);
  append_header_field(out, field_member, 's', member);
  append_header_field(out, field_destination, 's', target.destination);
  if (!arguments.signature().empty()) append_header_field(out, field_signature, 'g', arguments.signature());
  const auto fields = static_cast<std::uint32_t>(out.size() - fixed_header_bytes);
  std::memcpy(out.data() + 12, &fields, sizeof fields);
  append_padding(out, 8);
  return out + arguments.bytes();
}

/// Length of a whole message, from its first 16 bytes.
std::size_t whole_length(std::string_view fixed) {
  if (fixed[0] != 'l') malformed("not little endian");
  const std::size_t body = read_uint32_at(fixed, 4);
  const std::size_t fields = read_uint32_at(fixed, 12);
  if (body > message_limit || fields > message_limit) malformed("too long");
  const std::size_t header = fixed_header_bytes + fields;
  return header + padding(header, 8) + body;
}

}  // namespace

void DbusWriter::align(std::size_t boundary) { append_padding(bytes_, boundary); }

void DbusWriter::add_signature(std::string_view type) {
  if (nesting_ == 0) signature_ += type;
}

void DbusWriter::put_raw32(std::uint32_t value) {
  align(4);
  append_uint32(bytes_, value);
}

void DbusWriter::put_raw_string(std::string_view text) {
  put_raw32(static_cast<std::uint32_t>(text.size()));
  bytes_ += text;
  bytes_ += '\0';
}

void DbusWriter::put_string(std::string_view text) {
  add_signature("s");
  put_raw_string(text);
}

void DbusWriter::put_object_path(std::string_view path) {
  add_signature("o");
  put_raw_string(path);
}

void DbusWriter::put_byte(std::uint8_t value) {
  add_signature("y");
  bytes_ += static_cast<char>(value);
}

void DbusWriter::put_bool(bool value) {
  add_signature("b");
  put_raw32(value ? 1 : 0);
}

void DbusWriter::put_uint32(std::uint32_t value) {
  add_signature("u");
  put_raw32(value);
}

void DbusWriter::put_uint64(std::uint64_t value) {
  add_signature("t");
  align(8);
  bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void DbusWriter::put_array(std::string_view element, const std::function<void()>& content) {
  add_signature(concat("a", element));
  put_raw32(0);
  const std::size_t length_at = bytes_.size() - 4;
  // The padding in front of the first element is not counted, and stands there even without one.
  const char type = element.front();
  align(type == '(' || type == '{' || type == 't' || type == 'x' || type == 'd' ? 8
        : type == 'y' || type == 'v'                                            ? 1
                                                                                : 4);
  const std::size_t begin = bytes_.size();
  ++nesting_;
  content();
  --nesting_;
  const auto length = static_cast<std::uint32_t>(bytes_.size() - begin);
  std::memcpy(bytes_.data() + length_at, &length, sizeof length);
}

void DbusWriter::put_struct(const std::function<void()>& content) {
  if (nesting_ == 0) signature_ += '(';
  align(8);
  content();
  if (nesting_ == 0) signature_ += ')';
}

void DbusWriter::put_variant(std::string_view signature, const std::function<void()>& content) {
  add_signature("v");
  bytes_ += static_cast<char>(signature.size());
  bytes_ += signature;
  bytes_ += '\0';
  ++nesting_;
  content();
  --nesting_;
}

std::string_view DbusReader::take(std::size_t size) {
  if (size > bytes_.size() - at_) malformed("it ends too early");
  const std::string_view out = bytes_.substr(at_, size);
  at_ += size;
  return out;
}

void DbusReader::align(std::size_t boundary) { (void)take(padding(at_, boundary)); }

std::uint8_t DbusReader::get_byte() { return static_cast<std::uint8_t>(take(1).front()); }

std::uint32_t DbusReader::get_uint32() {
  align(4);
  return read_uint32_at(take(4), 0);
}

std::string DbusReader::get_string() {
  const std::uint32_t size = get_uint32();
  std::string out(take(size));
  if (get_byte() != 0) malformed("a text without its end");
  return out;
}

std::string DbusReader::get_signature() {
  const std::uint8_t size = get_byte();
  std::string out(take(size));
  if (get_byte() != 0) malformed("a signature without its end");
  return out;
}

DbusMessage parse_dbus_message(std::string_view bytes) {
  if (bytes.size() < fixed_header_bytes || whole_length(bytes) != bytes.size()) malformed("wrong length");
  DbusMessage message;
  const auto type = static_cast<std::uint8_t>(bytes[1]);
  if (type >= 1 && type <= 4) message.type = static_cast<DbusMessage::Type>(type);
  const std::size_t fields_end = fixed_header_bytes + read_uint32_at(bytes, 12);
  DbusReader reader(bytes.substr(0, fields_end));
  for (int i = 0; i < 3; ++i) (void)reader.get_uint32();
  (void)reader.get_uint32();
  while (!reader.at_end()) {
    reader.align(8);
    const std::uint8_t field = reader.get_byte();
    const std::string kind = reader.get_signature();
    std::string text;
    std::uint32_t number = 0;
    if (kind == "s" || kind == "o") {
      text = reader.get_string();
    } else if (kind == "g") {
      text = reader.get_signature();
    } else if (kind == "u") {
      number = reader.get_uint32();
    } else {
      malformed("an unknown type in the header");
    }
    switch (field) {
      case field_path:
        message.path = std::move(text);
        break;
      case field_interface:
        message.interface = std::move(text);
        break;
      case field_member:
        message.member = std::move(text);
        break;
      case field_error_name:
        message.error_name = std::move(text);
        break;
      case field_reply_serial:
        message.reply_serial = number;
        break;
      case field_sender:
        message.sender = std::move(text);
        break;
      case field_signature:
        message.signature = std::move(text);
        break;
      default:
        break;
    }
  }
  message.body = std::string(bytes.substr(fields_end + padding(fields_end, 8)));
  return message;
}

namespace {

/// A daemon that has gone shows as an error, not as SIGPIPE.
void send_all(int socket, std::string_view data) {
  while (!data.empty()) {
    const ssize_t sent = retry_on_eintr([&] { return ::send(socket, data.data(), data.size(), MSG_NOSIGNAL); });
    if (sent < 0) throw Error(ErrorKind::unavailable, concat("send over D-Bus: ", errno_text(errno)), errno);
    data.remove_prefix(static_cast<std::size_t>(sent));
  }
}

}  // namespace

DbusConnection::DbusConnection(const std::string& socket_path)
    : socket_(connect_unix(socket_path, SOCK_STREAM)), deadline_(Clock::now() + call_timeout) {
  authenticate();
  call(bus, "Hello");
  DbusWriter rule;
  rule.put_string("type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'");
  call(bus, "AddMatch", rule);
}

void DbusConnection::authenticate() {
  std::string hex;
  for (const char c : std::to_string(::geteuid())) hex += concat("3", std::string(1, c));  // ASCII digits are 0x30-0x39
  send_all(socket_.get(), std::string(1, '\0') + concat("AUTH EXTERNAL ", hex, "\r\n"));
  const std::string answer = read_line();
  if (!answer.starts_with("OK ")) throw Error(ErrorKind::unavailable, concat("the D-Bus daemon refuses us: ", answer));
  send_all(socket_.get(), "BEGIN\r\n");
}

std::string DbusConnection::read_line() {
  std::string line;
  while (!line.ends_with("\r\n")) {
    if (line.size() > line_limit) malformed("an endless line");
    line += read_exactly(1);
  }
  line.resize(line.size() - 2);
  return line;
}

std::string DbusConnection::read_exactly(std::size_t size) {
  std::string out(size, '\0');
  std::size_t have = 0;
  while (have < size) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - Clock::now()).count();
    if (left <= 0 || !wait_readable(socket_.get(), static_cast<int>(left))) {
      throw Error(ErrorKind::unavailable, "no answer over D-Bus");
    }
    const ssize_t got = retry_on_eintr([&] { return ::recv(socket_.get(), out.data() + have, size - have, 0); });
    if (got < 0) throw sys_error("receive from D-Bus");
    if (got == 0) throw Error(ErrorKind::unavailable, "the D-Bus daemon has closed the connection");
    have += static_cast<std::size_t>(got);
  }
  return out;
}

DbusMessage DbusConnection::receive() {
  std::string bytes = read_exactly(fixed_header_bytes);
  bytes += read_exactly(whole_length(bytes) - fixed_header_bytes);
  return parse_dbus_message(bytes);
}

DbusMessage DbusConnection::call(const DbusTarget& target, std::string_view member, const DbusWriter& arguments) {
  const std::uint32_t serial = ++serial_;
  send_all(socket_.get(), make_call(target, member, arguments, serial));
  for (;;) {
    DbusMessage message = receive();
    if (message.type == DbusMessage::Type::signal) {
      if (signals_.size() < kept_signals) signals_.push_back(std::move(message));
      continue;
    }
    if (message.reply_serial != serial) continue;
    if (message.type == DbusMessage::Type::reply) return message;
    std::string text = message.error_name;
    if (message.signature.starts_with("s")) text = DbusReader(message.body).get_string();
    throw DbusError(message.error_name, concat(member, ": ", text));
  }
}

DbusMessage DbusConnection::wait_signal(const std::function<bool(const DbusMessage&)>& wanted) {
  const auto seen = std::find_if(signals_.begin(), signals_.end(), wanted);
  if (seen != signals_.end()) return *seen;
  for (;;) {
    DbusMessage message = receive();
    if (message.type == DbusMessage::Type::signal && wanted(message)) return message;
  }
}

}  // namespace mydocker::runtime
