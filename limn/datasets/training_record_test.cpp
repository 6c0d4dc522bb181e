// SPDX-License-Identifier: Apache-2.0
#include "limn/datasets/training_record.h"

#include "limn/base/file.h"
#include "limn/datasets/datasets_testing.h"

namespace limn::datasets {
namespace {

using testing::HasSubstr;

class Record : public DataSet {
 protected:
  void SetUp() override {
    DataSet::SetUp();
    const char* captions[] = {"a red fox, flat style", "a blue fox, flat style", "a red house", "a boat"};
    for (int i = 0; i < 4; ++i) {
      write(in / (std::to_string(i) + ".png"), picture(i));
      write(in / (std::to_string(i) + ".txt"), captions[i]);
    }
    add();
    write_training_record(set, set);
  }
};

TEST_F(Record, FindsCaptionsByTheirTellingWords) {
  const TrainingRecord record = TrainingRecord::read(set);
  EXPECT_EQ(record.size(), 4);
  const auto found = record.nearest("a red fox, flat style", 2);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].row.caption, "a red fox, flat style");
  EXPECT_NEAR(found[0].likeness, 1, 1e-12);
  EXPECT_EQ(found[1].row.caption, "a blue fox, flat style");
  EXPECT_EQ(record.nearest("boat", 10).size(), 1u);
  EXPECT_TRUE(record.nearest("submarine", 10).empty());
}

TEST_F(Record, KeepsWhomToName) {
  const Row row = TrainingRecord::read(set).nearest("boat", 1).at(0).row;
  const std::vector<Row> all = rows();
  const Row& given = *std::ranges::find(all, "a boat", &Row::caption);
  EXPECT_EQ(row.licence, given.licence);
  EXPECT_FALSE(row.licence.empty());
  EXPECT_EQ(row.attribution, given.attribution);
}

TEST_F(Record, FindsThePictureItself) {
  const TrainingRecord record = TrainingRecord::read(set);
  const Image image = read_image(in / "2.png");
  const auto found = record.nearest(image, 4);
  EXPECT_EQ(found.at(0).row.caption, "a red house");
  EXPECT_EQ(found[0].likeness, 1);
  EXPECT_LE(found[1].likeness, 1);
}

TEST_F(Record, MissingAndDamagedOnesSaySo) {
  EXPECT_THAT([&] { TrainingRecord::read(in); },
              testing::ThrowsMessage<Error>(HasSubstr("no record of what it learned from")));
  std::string bytes = read_file(set / kTrainingRecord, 1 << 20);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 0x55);
  write(set / kTrainingRecord, bytes);
  EXPECT_THROW(TrainingRecord::read(set), Error);
}

}  // namespace
}  // namespace limn::datasets
