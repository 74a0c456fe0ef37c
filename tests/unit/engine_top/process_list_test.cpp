#include "engine/process_list.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <memory>
#include <sstream>

#include "tests/support/requirements.h"
#include "tests/support/temp_tree.h"

namespace mydocker::engine {
namespace {

using Row = std::vector<std::string>;

/// A machine that has been up for an hour since 2021-01-01 00:00:00 UTC, with two processes and a zombie.
class ProcessListTest : public ::testing::Test {
 protected:
  ProcessListTest()
      : tree_{
            {"proc/stat", "cpu  1 2 3\nbtime 1609459200\n"},
            {"proc/uptime", "3600.50 7000.00\n"},
            {"proc/meminfo", "MemTotal:        1000000 kB\nMemFree: 1 kB\n"},
            {"proc/100/stat",
             "100 (a) b (c) S 1 100 100 34817 100 4194560 10 0 2 0 150 30 0 0 20 0 3 0 60000 8388608 512 0 0 0 0 0 0 0 "
             "0 0 "
             "0 0 0 17 1 0 0 0 0 0\n"},
            {"proc/100/cmdline", std::string_view("sleep\0"
                                                  "60  x\0"
                                                  "\x1b[2J\0",
                                                  16)},
            {"proc/100/status", "Name:\tsleep\nUid:\t0\t0\t0\t0\nGid:\t0\t5\t0\t0\nVmLck:\t       4 kB\n"},
            {"proc/100/cgroup", "2:cpu:/mydocker/ab\n0::/\n"},
            {"proc/101/stat",
             "101 (worker) R 100 100 100 0 -1 64 0 0 0 0 0 0 0 0 30 10 1 0 359900 0 0 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 "
             "0\n"},
            {"proc/101/cmdline", ""},
            {"proc/101/status", "Uid:\t33\t1000\t33\t33\nGid:\t33\t33\t33\t33\n"},
            {"proc/102/stat",
             "102 (dead) Z 100 100 100 0 -1 64 0 0 0 0 0 0 0 0 20 -5 1 0 359900 0 0 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 "
             "0\n"},
            {"proc/102/cmdline", ""},
            {"proc/102/status", "Uid:\t7\t7\t7\t7\nGid:\t7\t7\t7\t7\n"},
            {"passwd",
             "root:x:0:0::/:/bin/sh\nalias:x:0:0::/:/\nbroken\n:x:7:7:::\naverylongname:x:1000:1000::/:/\nx:y:z:\n"},
            {"group", "root:x:0:\ntty:x:5:a,b\n"},
        } {}

  ProcessTable list(std::string_view arguments) {
    return list_processes({101, 100, 102, 999}, arguments,
                          {tree_.path("proc"), tree_.path("passwd"), tree_.path("group")});
  }

  const mydocker::test::TempTree tree_;
};

TEST_F(ProcessListTest, DefaultIsTheFullFormat) {
  const ProcessTable table = list("");
  EXPECT_EQ(table.titles, (Row{"UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"}));
  ASSERT_EQ(table.rows.size(), 3U);
  EXPECT_EQ(table.rows[0][0], "root");
  EXPECT_EQ(table.rows[0][1], "100");
  EXPECT_EQ(table.rows[0][2], "1");
  EXPECT_EQ(table.rows[0][3], "0");
  EXPECT_EQ(table.rows[0][4], "2021");  // a year that is over
  EXPECT_EQ(table.rows[0][5], "pts/1");
  EXPECT_EQ(table.rows[0][6], "00:00:01");
  EXPECT_EQ(table.rows[0][7], "sleep 60  x ?[2J");  // one cell, its blanks kept, no control bytes
  EXPECT_EQ(table.rows[1][0], "averylo+");
  EXPECT_EQ(table.rows[1][7], "[worker]");
  EXPECT_EQ(table.rows[2][0], "7");
  EXPECT_EQ(table.rows[2][7], "[dead] <defunct>");
}

TEST_F(ProcessListTest, KnowsTheUsualFormats) {
  EXPECT_EQ(list("aux").titles,
            (Row{"USER", "PID", "%CPU", "%MEM", "VSZ", "RSS", "TTY", "STAT", "START", "TIME", "COMMAND"}));
  EXPECT_EQ(list("aux").rows[0],
            (Row{"root", "100", "0.0", "0.2", "8192", "2048", "pts/1", "SLsl+", "2021", "0:01", "sleep 60  x ?[2J"}));
  EXPECT_EQ(list("-aux").titles, list("aux").titles);
  EXPECT_EQ(list("auxww").titles, list("aux").titles);
  EXPECT_EQ(list("-eF").titles, (Row{"UID", "PID", "PPID", "C", "SZ", "RSS", "PSR", "STIME", "TTY", "TIME", "CMD"}));
  EXPECT_EQ(list("-e").titles, (Row{"PID", "TTY", "TIME", "CMD"}));
  EXPECT_EQ(list("-e").rows[0].back(), "a) b (c");
  EXPECT_EQ(list("ax").titles, (Row{"PID", "TTY", "STAT", "TIME", "COMMAND"}));
  EXPECT_EQ(list("-el").titles.size(), 14U);
  EXPECT_EQ(list("axl").titles.size(), 13U);
}

TEST_F(ProcessListTest, PrintsAskedColumns) {
  EXPECT_EQ(list("-o pid,ppid,comm").rows[1], (Row{"101", "100", "worker"}));
  EXPECT_EQ(list("-eo pid,user,group,etime,nlwp,stat,ni").rows[0],
            (Row{"100", "root", "tty", "50:00", "3", "SLsl+", "0"}));
  EXPECT_EQ(list("axo pid,etimes -o cgroup").rows[0], (Row{"100", "3000", "2:cpu:/mydocker/ab,0::/"}));
  EXPECT_EQ(list("--format=pid,stat").rows[1], (Row{"101", "RN"}));
  EXPECT_EQ(list("-opid -o cmd=Whole").titles, (Row{"PID", "Whole"}));
  EXPECT_EQ(list("-p 101,102 -o pid,s").rows, (std::vector<Row>{{"101", "R"}, {"102", "Z"}}));
  EXPECT_EQ(list("-e -o pid,ruid,euid,ruser").rows[1], (Row{"101", "33", "1000", "33"}));
}

TEST_F(ProcessListTest, RefusesWhatItCannotPrint) {
  EXPECT_THROW_ERROR(list("-o user,comm"), ErrorKind::invalid_argument, "Couldn't find PID field in ps output");
  EXPECT_THROW_ERROR(list("-o pid=,comm"), ErrorKind::invalid_argument, "Couldn't find PID field in ps output");
  EXPECT_THROW_ERROR(list("-o pid,ppid=PID"), ErrorKind::invalid_argument, "specifying \"ppid=PID\" is not allowed");
  EXPECT_THROW_ERROR(list("-o pid,nonsense"), ErrorKind::invalid_argument, "unsupported column \"nonsense\"");
  EXPECT_THROW_ERROR(list("--sort=-rss"), ErrorKind::invalid_argument, "unsupported option --sort=-rss");
  EXPECT_THROW_ERROR(list("-Z"), ErrorKind::invalid_argument, "unsupported option -Z");
  EXPECT_THROW_ERROR(list("-ef -o"), ErrorKind::invalid_argument, "option without a value: -o");
  EXPECT_THROW_ERROR(list("-p x"), ErrorKind::invalid_argument, "process ID \"x\"");
  EXPECT_THROW_ERROR(list("-ef; reboot"), ErrorKind::invalid_argument, "unsupported option -ef;");
}

TEST_F(ProcessListTest, HostileNamesAndFilesDoNoHarm) {
  tree_.write("proc/100/stat", "100 (unfinished");
  tree_.write("proc/101/stat", "");
  tree_.write("proc/102/stat", "102 (\n\x1b) R 1 x 99999999999999999999999 -");
  tree_.write("passwd", std::string(2 << 20, 'a'));
  const ProcessTable table = list("-eo pid,comm,user,pcpu,etime,tty,start");
  ASSERT_EQ(table.rows.size(), 1U);
  EXPECT_EQ(table.rows[0][1], "??");
  EXPECT_EQ(table.rows[0][2], "7");
}

/// The same columns of ourselves by ps, where it is installed.
TEST(ProcessList, AgreesWithPs) {
  REQUIRE_PROGRAM("ps");
  for (const char* columns :
       {"pid,ppid,pgid,sid,user,uid,ruid,gid,tty,ni,pri,nlwp,args", "pid,vsz,comm,stime,start_time,time,f",
        "pid,lstart", "pid,tname,egroup,sz,opri,priority"}) {
    const std::string command = std::string("ps --no-headers -ww -p ") + std::to_string(::getpid()) + " -o " + columns;
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), ::pclose);
    std::array<char, 4096> text{};
    const std::size_t size = std::fread(text.data(), 1, text.size() - 1, pipe.get());
    std::istringstream printed(std::string(text.data(), size));
    std::string expected, ours, word;
    while (printed >> word) expected += word + " ";
    const ProcessTable table = list_processes({::getpid()}, std::string("-o ") + columns);
    std::string cells;
    for (const std::string& cell : table.rows.at(0)) cells += cell + " ";
    std::istringstream words(cells);
    while (words >> word) ours += word + " ";
    EXPECT_EQ(ours, expected) << columns;
  }
}

}  // namespace
}  // namespace mydocker::engine
