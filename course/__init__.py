"""The course: chapters, exercises and what checks them. See course/README.md."""
