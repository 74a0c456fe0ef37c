#include "tests/unit/storage/hostile_tars.h"

#include "engine/base/error.h"

namespace mydocker::storage::test {
namespace {

TarBytes tar() { return {}; }

/// "../" often enough to leave any directory.
std::string climb() {
  std::string out;
  for (int i = 0; i < 24; ++i) out += "../";
  return out;
}

void add_names(std::vector<HostileTar>& out, const std::string& canary) {
  const std::string up = climb() + canary.substr(1);
  const std::string inside = canary.substr(1);
  out.push_back({"AbsoluteName",
                 "the root of the tree is meant",
                 "",
                 tar().file(canary + "/evil", "x"),
                 {{inside + "/evil", "file 0644"}}});
  out.push_back({"ManySlashes", "empty parts count for nothing", "", tar().file("////a//b", "x"), {{"a/b", "file"}}});
  out.push_back({"DotDotName", "refused", "\"..\" in a file name", tar().file(up + "/evil", "x")});
  out.push_back({"DotDotInside", "refused, even if it stays inside", "\"..\"", tar().file("a/../b", "x")});
  out.push_back({"DotDotDirectory", "refused", "\"..\"", tar().directory("../", 0777)});
  out.push_back({"DotDotSymlinkName", "refused", "\"..\"", tar().symlink("../link", "/")});
  out.push_back({"DotDotDevice", "refused", "\"..\"", tar().node("../null", '3', 1, 3)});
  out.push_back({"DotDotInPaxPath", "refused", "\"..\"", tar().pax({{"path", up + "/evil"}}).file("good", "x")});
  out.push_back({"DotDotInGnuName", "refused", "\"..\"", tar().gnu_long('L', up + "/evil").file("good", "x")});
  out.push_back({"DotDotInPrefix", "refused", "\"..\"", [&] {
                   RawHeader header;
                   header.name = "evil";
                   header.prefix = "../..";
                   return tar().raw(header);
                 }()});
  out.push_back({"DotDotInSparseName", "refused", "\"..\"",
                 tar()
                     .pax({{"GNU.sparse.major", "0"},
                           {"GNU.sparse.name", "../evil"},
                           {"GNU.sparse.size", "0"},
                           {"GNU.sparse.map", "0,0"}})
                     .file("good", "")});
  out.push_back({"PaxPathOverridesGoodName",
                 "the pax name counts",
                 "",
                 tar().pax({{"path", "real"}}).file("shown", "x"),
                 {{"real", "file"}, {"shown", "absent"}}});
  out.push_back({"EmptyName", "a file cannot be the root", "the root is a directory", tar().file("", "x")});
  out.push_back(
      {"RootAsFile", "a file cannot be the root", "the root is a directory", tar().file("./", "").file(".", "x")});
  out.push_back({"RootAsSymlink", "the root stays a directory", "the root is a directory", tar().symlink("/", canary)});
  out.push_back({"NulInPaxPath", "refused", "NUL", tar().pax({{"path", std::string("a\0b", 3)}}).file("x", "x")});
  out.push_back({"NulInHeaderName",
                 "the name ends there",
                 "",
                 [&] {
                   RawHeader header;
                   header.name = std::string("short\0/../../evil", 17);
                   return tar().raw(header);
                 }(),
                 {{"short", "file"}}});
  out.push_back({"LongComponent", "refused", "too long", tar().pax({{"path", std::string(256, 'n')}}).file("x", "")});
  out.push_back({"LongPath", "refused", "too long", [&] {
                   std::string path;
                   while (path.size() <= 4096) path += "directory/";
                   return tar().pax({{"path", path + "x"}}).file("x", "");
                 }()});
}

void add_symlinks(std::vector<HostileTar>& out, const std::string& canary) {
  const std::string up = climb() + canary.substr(1);
  const std::string inside = canary.substr(1);
  out.push_back({"SymlinkThenFileThroughIt",
                 "resolved inside the tree",
                 "",
                 tar().symlink("l", canary).file("l/evil", "x"),
                 {{"l", "symlink"}, {inside + "/evil", "file"}}});
  out.push_back({"RelativeSymlinkThenFile",
                 "\"..\" ends at the root",
                 "",
                 tar().symlink("l", up).file("l/evil", "x"),
                 {{inside + "/evil", "file"}}});
  out.push_back({"SymlinkChain",
                 "each link resolved inside",
                 "",
                 tar().symlink("a", "b").symlink("b", "/c").symlink("c", up).file("a/evil", "x"),
                 {{inside + "/evil", "file"}}});
  out.push_back(
      {"SymlinkLoop", "refused", "too many levels", tar().symlink("a", "b").symlink("b", "a").file("a/x", "x")});
  out.push_back({"SymlinkToItsOwnParent", "refused", "too many levels", tar().symlink("a", "a/b").file("a/x", "x")});
  out.push_back({"FileOverSymlink",
                 "the link is replaced, its target untouched",
                 "",
                 tar().symlink("l", canary + "/secret").file("l", "mine"),
                 {{"l", "file 0644 0:0 4"}}});
  out.push_back({"DirectoryOverSymlink",
                 "the link is replaced by a directory",
                 "",
                 tar().symlink("l", canary).directory("l", 0700).file("l/x", "x"),
                 {{"l", "directory 0700"}, {"l/x", "file"}}});
  out.push_back({"DirectoryModeThroughSymlink",
                 "chmod never follows",
                 "",
                 tar().symlink("l", canary).directory("l/", 0777),
                 {{"l", "directory 0777"}}});
  out.push_back({"SymlinkToProc",
                 "there is no proc inside",
                 "",
                 tar().symlink("l", "/proc/self/root").file("l/evil", "x"),
                 {{"proc/self/root/evil", "file"}}});
  out.push_back({"SymlinkToOpenDescriptor",
                 "plain directories of that name",
                 "",
                 tar().symlink("l", "/proc/self/fd/3").file("l/evil", "x"),
                 {{"proc/self/fd/3/evil", "file"}}});
  out.push_back({"ParentReplacedBySymlink",
                 "what was below is gone, later files go where the link says",
                 "",
                 tar().directory("d").file("d/one", "1").symlink("d", "/e").file("d/two", "2"),
                 {{"d", "symlink"}, {"e/two", "file"}, {"e/one", "absent"}}});
  out.push_back({"EmptySymlink", "refused", "symlink to nothing", tar().symlink("l", "")});
  out.push_back(
      {"LongSymlinkTarget", "refused", "too long", tar().gnu_long('K', std::string(5000, 'x')).symlink("l", "short")});
  out.push_back({"DotDotThroughSymlink", "refused", "\"..\"", tar().symlink("l", canary).file("l/../evil", "x")});
  out.push_back(
      {"SymlinkNamesOnlyGrow", "refused", "too long", [&] {
         std::string deep;
         while (deep.size() < 4000) deep += "d/";
         return tar().pax({{"linkpath", deep}}).symlink("l", "x").pax({{"path", "l/" + deep + "x"}}).file("x", "");
       }()});
}

void add_hard_links(std::vector<HostileTar>& out, const std::string& canary) {
  const std::string up = climb() + canary.substr(1) + "/secret";
  out.push_back({"HardLinkOutside", "the target is looked up inside", "not in the archive",
                 tar().directory(canary.substr(1)).hard_link("h", canary + "/secret")});
  out.push_back({"HardLinkDotDot", "refused", "\"..\"", tar().hard_link("h", up)});
  out.push_back({"HardLinkDotDotInPax", "refused", "\"..\"", tar().pax({{"linkpath", up}}).hard_link("h", "good")});
  out.push_back({"HardLinkThroughSymlink", "the parent link is resolved inside", "no such directory",
                 tar().symlink("l", canary).hard_link("h", "l/secret")});
  out.push_back({"HardLinkToSymlink",
                 "links the symlink itself",
                 "",
                 tar().symlink("l", canary + "/secret").hard_link("h", "l"),
                 {{"h", "symlink"}}});
  out.push_back({"WriteThroughHardLinkToSymlink",
                 "the hard link is replaced, nothing written through",
                 "",
                 tar().symlink("l", canary + "/secret").hard_link("h", "l").file("h", "mine"),
                 {{"h", "file 0644 0:0 4"}, {"l", "symlink"}}});
  out.push_back(
      {"HardLinkToDirectory", "refused", "hard link to the directory", tar().directory("d").hard_link("h", "d")});
  out.push_back({"HardLinkToRoot", "refused", "hard link to the root", tar().hard_link("h", "/")});
  out.push_back({"HardLinkToMissing", "refused", "not in the archive", tar().hard_link("h", "nowhere")});
  out.push_back({"HardLinkToWhiteout", "a whiteout is no file", "not in the archive",
                 tar().file(".wh.gone", "").hard_link("h", "gone")});
  out.push_back({"HardLinkReplacesItsTargetsParent",
                 "the file stays under the new name",
                 "",
                 tar().directory("d").file("d/x", "x").hard_link("d", "d/x"),
                 {{"d", "file 0644 0:0 1"}}});
}

void add_whiteouts(std::vector<HostileTar>& out) {
  out.push_back({"WhiteoutOfDotDot", "refused", "whiteout of nothing", tar().file("d/.wh...", "")});
  out.push_back({"WhiteoutOfDot", "refused", "whiteout of nothing", tar().file("d/.wh..", "")});
  out.push_back({"WhiteoutOfNothing", "refused", "whiteout of nothing", tar().file("d/.wh.", "")});
  out.push_back({"WhiteoutAsDirectory", "refused", "a whiteout cannot be a directory", tar().file(".wh.d/x", "x")});
  out.push_back({"OpaqueAsDirectory",
                 "aufs' bookkeeping is skipped",
                 "",
                 tar().file(".wh..wh..opq/x", "x"),
                 {{".wh..wh..opq", "absent"}}});
  out.push_back({"OpaqueAtTheRoot",
                 "hides lower layers, makes no file",
                 "",
                 tar().file(".wh..wh..opq", ""),
                 {{".wh..wh..opq", "absent"}}});
  out.push_back({"OpaqueUnderAFile", "refused", "is no directory", tar().file("f", "x").file("f/.wh..wh..opq", "")});
  out.push_back({"WhiteoutThroughSymlink",
                 "made inside the tree",
                 "",
                 tar().symlink("l", "/elsewhere").file("l/.wh.x", ""),
                 {{"elsewhere/x", "character 0000"}}});
  out.push_back({"WhiteoutWithContent",
                 "the content is nobody's",
                 "",
                 tar().file("a/.wh.b", "content"),
                 {{"a/b", "character 0000"}}});
  out.push_back({"WhiteoutThatIsASymlink",
                 "a whiteout all the same",
                 "",
                 tar().symlink("a/.wh.b", "/"),
                 {{"a/b", "character 0000"}}});
  out.push_back({"AufsLinks",
                 "skipped",
                 "",
                 tar().directory(".wh..wh.plnk").file(".wh..wh.plnk/1.2", "x"),
                 {{".wh..wh.plnk", "absent"}}});
}

void add_specials(std::vector<HostileTar>& out) {
  out.push_back({"Device",
                 "made, but the mounts it shows up on are nodev",
                 "",
                 tar().node("dev/sda", '4', 8, 0),
                 {{"dev/sda", "block 0644"}}});
  out.push_back({"Fifo", "made; nobody opens it", "", tar().node("pipe", '6'), {{"pipe", "fifo"}}});
  out.push_back({"FileOverFifo", "replaced, not opened", "", tar().node("p", '6').file("p", "x"), {{"p", "file"}}});
  out.push_back({"FileOverDevice",
                 "replaced, not written to",
                 "",
                 tar().node("d", '3', 1, 1).file("d", "x"),
                 {{"d", "file 0644 0:0 1"}}});
  out.push_back({"SetuidFile",
                 "kept: the store is closed to other users",
                 "",
                 tar().file("su", "x", 06755),
                 {{"su", "file 6755"}}});
  out.push_back({"TrustedOverlayXattr",
                 "not set",
                 "",
                 tar().pax({{"SCHILY.xattr.trusted.overlay.redirect", "/etc"}}).directory("d"),
                 {{"d", "directory"}}});
  out.push_back({"UserOverlayXattr",
                 "not set",
                 "",
                 tar().pax({{"SCHILY.xattr.user.overlay.opaque", "y"}}).directory("d"),
                 {{"d", "directory"}}});
  out.push_back({"SecurityXattr",
                 "labels of the host's policy are not taken from images",
                 "",
                 tar().pax({{"SCHILY.xattr.security.selinux", "system_u:object_r:etc_t:s0"}}).file("f", "x"),
                 {{"f", "file"}}});
  out.push_back({"UnknownType", "refused", "unsupported entry type", [] {
                   RawHeader header;
                   header.name = "x";
                   header.type = 'Z';
                   return tar().raw(header);
                 }()});
  out.push_back({"FileAsParent", "refused", "is no directory", tar().file("f", "x").file("f/x", "x")});
}

void add_malformed(std::vector<HostileTar>& out) {
  const auto with = [](auto&& change) {
    RawHeader header;
    header.name = "x";
    TarBlock block = header.block();
    change(block);
    return tar().block(block);
  };
  out.push_back({"NegativeSize", "refused", "invalid size", with([](TarBlock& block) {
                   for (std::size_t i = 0; i < 12; ++i) block[tar_field::size.offset + i] = static_cast<char>(0xFF);
                 })});
  out.push_back({"HugeSize", "refused", "invalid size", with([](TarBlock& block) {
                   block[tar_field::size.offset] = static_cast<char>(0x80);
                   for (std::size_t i = 1; i < 12; ++i) block[tar_field::size.offset + i] = static_cast<char>(0xFF);
                 })});
  out.push_back({"LargestSize", "refused", "bytes",
                 with([](TarBlock& block) { set_number(block, tar_field::size, std::uint64_t{1} << 61); })});
  out.push_back({"SizeThatIsNoNumber", "refused", "invalid size",
                 with([](TarBlock& block) { set_text(block, tar_field::size, "12x4"); })});
  out.push_back({"NegativeOwner", "refused", "invalid uid", with([](TarBlock& block) {
                   for (std::size_t i = 0; i < 8; ++i) block[tar_field::uid.offset + i] = static_cast<char>(0xFF);
                 })});
  out.push_back({"OwnerThatWraps", "refused", "out of range", tar().pax({{"uid", "4294967296"}}).file("x", "")});
  out.push_back(
      {"OwnerMeaningNobodyChanges", "refused", "out of range", tar().pax({{"gid", "4294967295"}}).file("x", "")});
  out.push_back({"NegativePaxSize", "refused", "not a number", tar().pax({{"size", "-1"}}).file("x", "")});
  out.push_back(
      {"PaxSizeOverflow", "refused", "not a number", tar().pax({{"size", "99999999999999999999"}}).file("x", "")});
  out.push_back({"BadChecksum", "refused", "invalid header checksum", [] {
                   RawHeader header;
                   header.name = "x";
                   TarBlock block = header.block();
                   block[0] = 'y';
                   return tar().bytes(std::string_view(block.data(), block.size()));
                 }()});
  out.push_back({"PaxRecordTooLong", "refused", "malformed pax record", [] {
                   RawHeader header;
                   header.name = "x";
                   header.type = 'x';
                   header.size = 12;
                   return tar().raw(header, "99 path=evil").file("x", "");
                 }()});
  out.push_back({"PaxRecordOfLengthZero", "refused", "malformed pax record", [] {
                   RawHeader header;
                   header.name = "x";
                   header.type = 'x';
                   header.size = 9;
                   return tar().raw(header, "0 path=e\n").file("x", "");
                 }()});
  out.push_back({"PaxHeaderOfTwoMegabytes", "refused before it is read", "extension header", [] {
                   RawHeader header;
                   header.name = "x";
                   header.type = 'x';
                   header.size = 2 << 20;
                   return tar().raw(header, std::string(2 << 20, 'x'));
                 }()});
  out.push_back({"GnuNameOfTwoMegabytes", "refused", "extension header",
                 tar().gnu_long('L', std::string(2 << 20, 'x')).file("x", "")});
  out.push_back({"SparseMapOutsideTheFile", "refused", "sparse map",
                 tar().pax({{"GNU.sparse.size", "10"}, {"GNU.sparse.map", "100,4"}}).file("x", "data")});
  out.push_back({"SparseMapThatOverlaps", "refused", "sparse map",
                 tar().pax({{"GNU.sparse.size", "100"}, {"GNU.sparse.map", "0,2,1,2"}}).file("x", "data")});
  out.push_back({"SparseMapThatLies", "refused", "sparse map",
                 tar().pax({{"GNU.sparse.size", "100"}, {"GNU.sparse.map", "0,3"}}).file("x", "data")});
  out.push_back(
      {"SparseMapThatWraps", "refused", "sparse map",
       tar().pax({{"GNU.sparse.size", "100"}, {"GNU.sparse.map", "18446744073709551615,4"}}).file("x", "data")});
  out.push_back({"SparseFileOfExabytes", "refused", "bytes",
                 tar().pax({{"GNU.sparse.size", "4611686018427387904"}, {"GNU.sparse.map", "0,4"}}).file("x", "data")});
  out.push_back({"OldSparseWithoutEnd", "refused", "", [] {
                   RawHeader header;
                   header.name = "x";
                   header.type = 'S';
                   header.gnu = true;
                   TarBlock block = header.block();
                   block[tar_field::gnu_is_extended.offset] = 1;
                   TarBytes bytes = tar().block(block);
                   TarBlock more{};
                   more[tar_field::gnu_more_is_extended.offset] = 1;
                   for (int i = 0; i < 3; ++i) bytes.bytes(std::string_view(more.data(), more.size()));
                   return bytes.bytes(std::string(512, 1));
                 }()});
  out.back().refused_with = "sparse";
  out.push_back({"LoneZeroBlock", "refused: tools disagree about it", "invalid header after a zero block",
                 tar().bytes(std::string(512, '\0')).file("x", "")});
}

void add_repeats(std::vector<HostileTar>& out, const std::string& canary) {
  out.push_back({"DuplicateFile",
                 "the last one counts",
                 "",
                 tar().file("f", "one").file("f", "three"),
                 {{"f", "file 0644 0:0 5"}}});
  out.push_back({"FileThenDirectory",
                 "the last one counts",
                 "",
                 tar().file("f", "one").directory("f", 0700),
                 {{"f", "directory 0700"}}});
  out.push_back({"DirectoryThenFile",
                 "the last one counts",
                 "",
                 tar().directory("d").file("d/x", "1").file("d", "two"),
                 {{"d", "file 0644 0:0 3"}}});
  out.push_back({"DirectoryTwice",
                 "its content stays, the last mode counts",
                 "",
                 tar().directory("d", 0755).file("d/x", "1").directory("d", 0500),
                 {{"d", "directory 0500"}, {"d/x", "file"}}});
  out.push_back({"SymlinkTwice",
                 "the last one counts",
                 "",
                 tar().symlink("l", canary).symlink("l", "/inside"),
                 {{"l", "symlink 0777 0:0 /inside"}}});
  out.push_back({"DuplicatePaxRecords",
                 "the last one counts",
                 "",
                 tar().pax({{"path", "../evil"}, {"path", "good"}}).file("x", ""),
                 {{"good", "file"}}});
  out.push_back({"GlobalPaxPath",
                 "global headers are ignored",
                 "",
                 tar().pax({{"path", "../evil"}}, 'g').file("x", "").file("y", ""),
                 {{"x", "file"}, {"y", "file"}}});
  out.push_back({"NegativeTime", "kept", "", tar().pax({{"mtime", "-1.5"}}).file("x", ""), {{"x", "file"}}});
}

}  // namespace

std::vector<HostileTar> hostile_tars(const std::string& canary) {
  std::vector<HostileTar> out;
  add_names(out, canary);
  add_symlinks(out, canary);
  add_hard_links(out, canary);
  add_whiteouts(out);
  add_specials(out);
  add_malformed(out);
  add_repeats(out, canary);
  return out;
}

}  // namespace mydocker::storage::test
