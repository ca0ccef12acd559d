//! What the fake backends of the tests have in common: only the queue's verb is called.

/// All verbs of a `Backend` but those that say what it is, and `send`.
macro_rules! only_sends {
    () => {
        fn read(&self, _: &[String], _: &dyn Interrupt) -> Result<Vec<(usize, String)>> {
            unreachable!()
        }
        fn write(&self, _: Vec<Message>, _: Turn, _: &dyn Interrupt) -> Result<()> {
            unreachable!()
        }
        fn update(&self, _: Message, _: Turn, _: &dyn Interrupt) -> Result<bool> {
            unreachable!()
        }
        fn delete(&self, _: Vec<String>, _: Turn, _: &dyn Interrupt) -> Result<usize> {
            unreachable!()
        }
        fn list(&self, _: Range<'_>, _: &dyn Interrupt) -> Result<Page> {
            unreachable!()
        }
        fn change(
            self: Arc<Self>,
            _: crate::backend::Change,
            _: Turn,
            _: Arc<crate::wait::Cancel>,
            _: crate::reply::Reply<usize>,
        ) {
            unreachable!()
        }
        fn look(
            self: Arc<Self>,
            _: crate::backend::Look,
            _: Arc<crate::wait::Cancel>,
            _: crate::reply::Reply<crate::backend::Found>,
        ) {
            unreachable!()
        }
        fn ping(&self, _: &dyn Interrupt) -> Result<()> {
            unreachable!()
        }
        fn flush(&self, _: &dyn Interrupt) -> Result<()> {
            Ok(())
        }
        fn close(&self) {}
    };
}

pub(super) use only_sends;
